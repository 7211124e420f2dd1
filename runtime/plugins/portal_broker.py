"""What Celery's broker knows of tasks that Airflow has queued: whether it answers, and which of
them workers have taken without having reported it to Airflow yet.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisError

ANSWER_SECONDS = 2
RESULT_KEY = "celery-task-meta-{}"
# Celery's own default (`result_expires`), set anew with each change of a task's state.
KEPT_SECONDS = 86_400


def broker_look(celery_ids: Sequence[str]) -> dict[str, Any] | None:
    """Return whether the broker answers, how many of these Celery tasks workers have taken, and for
    how many seconds they have had them at most. None where no broker is used.
    """
    url = os.environ.get("AIRFLOW__CELERY__BROKER_URL", "")
    if not url.startswith(("redis://", "rediss://")):
        return None
    limits = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    try:
        with Redis.from_url(url, **limits) as broker, broker.pipeline(transaction=False) as asked:
            asked.ping()
            for celery_id in celery_ids:
                asked.get(RESULT_KEY.format(celery_id))
                asked.ttl(RESULT_KEY.format(celery_id))
            _, *said = asked.execute()
    except (RedisError, OSError):
        return {"is_reached": False, "taken": 0, "taken_seconds": None}
    kept = [left for text, left in zip(said[::2], said[1::2], strict=True) if _is_started(text)]
    ages = [max(0, KEPT_SECONDS - left) for left in kept if left > 0]
    return {"is_reached": True, "taken": len(ages), "taken_seconds": max(ages, default=None)}


def _is_started(text: bytes | None) -> bool:
    try:
        said = json.loads(text or b"{}")
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("status") == "STARTED"
