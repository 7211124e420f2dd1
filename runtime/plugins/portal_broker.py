"""What Celery's broker knows of tasks that Airflow has queued: whether it answers, and which of
them workers have taken without having reported it to Airflow yet.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

# An image of people may be without Celery, and its api-server must start.
try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:
    redis = None  # type: ignore[assignment]

ANSWER_SECONDS = 2
RESULT_KEY = "celery-task-meta-{}"
# Celery's own default (`result_expires`), set anew with each change of a task's state.
KEPT_SECONDS = 86_400


def broker_look(celery_ids: Sequence[str]) -> dict[str, Any] | None:
    """Return whether the broker answers, how many of these Celery tasks workers have taken, and for
    how many seconds they have had them at most. None where no broker is used.
    """
    url = os.environ.get("AIRFLOW__CELERY__BROKER_URL", "")
    # One with TLS may have a certificate that Celery alone is told to believe.
    if redis is None or not url.startswith("redis://"):
        return None
    broker = redis.Redis.from_url(
        url,
        socket_connect_timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with broker, broker.pipeline(transaction=False) as asked:
            asked.ping()
            for celery_id in celery_ids:
                asked.get(RESULT_KEY.format(celery_id))
                asked.ttl(RESULT_KEY.format(celery_id))
            _, *said = asked.execute()
    except (redis.RedisError, OSError):
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
