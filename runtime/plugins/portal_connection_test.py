"""A connection that reaches this Airflow, tried by the hook of its provider, as Airflow itself does
where that is switched on: with the packages and the network of this Deployment.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Any

from airflow.models.connection import Connection

# The portal waits for 10 seconds.
SECONDS, AT_ONCE = 8, 2
LONGEST = 1_000
_pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="connection-test")
# A hook that never returns keeps its thread; the next tests are refused, and none waits for it.
_free = threading.BoundedSemaphore(AT_ONCE)


def tested(conn_id: str) -> dict[str, Any]:
    """Return `is_good`, None where nothing was tried, and what the hook says."""
    if not _free.acquire(blocking=False):
        return {"is_good": None, "reason": "busy", "message": ""}
    try:
        is_good, message = _pool.submit(_try, conn_id).result(timeout=SECONDS)
    except Late:
        return {"is_good": False, "reason": "late", "message": ""}
    except Exception as error:  # noqa: BLE001 - whatever a provider raises
        return {"is_good": False, "reason": "failed", "message": type(error).__name__}
    return {"is_good": is_good, "reason": "", "message": str(message)[:LONGEST]}


def _try(conn_id: str) -> tuple[bool, str]:
    try:
        connection = Connection.get_connection_from_secrets(conn_id)
        return connection.test_connection()
    finally:
        _free.release()
