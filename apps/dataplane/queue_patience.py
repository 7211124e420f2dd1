"""Settings of Airflow, on every data plane, with which a full queue fails no task."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress

from apps.dataplane.spec import VariableSpec

TIMEOUT = "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"
CHECKED_EVERY = "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL"
LEEWAY = "AIRFLOW__API_AUTH__JWT_LEEWAY"
LIFETIME = "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"
# After ten minutes in a queue Airflow takes a task back and queues it again, which also finds one
# that a lost broker has forgotten. By itself it fails a task the third time. The token that a task
# waits with ends when it is taken back: the leeway covers the time until that is noticed.
PATIENCE_WITH_QUEUES = {
    TIMEOUT: "600",
    CHECKED_EVERY: "20",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "1000000",
    LEEWAY: "60",
}
# What the scheduler may be late, beyond the interval.
LATE_SECONDS = 40
MOST_LEEWAY_SECONDS = 86_400
TOKEN_SECONDS = 600


def tokens_that_outlast(variables: Iterable[VariableSpec]) -> dict[str, str]:
    """Return the lifetime of tokens that follows from how long people let a task wait: empty where
    they leave that as it is. A task that a worker takes with a token that has ended fails.
    """
    theirs = {one.key: one.value for one in variables}
    every, timeout = _seconds(theirs, CHECKED_EVERY), _seconds(theirs, TIMEOUT)
    found = {}
    if every + LATE_SECONDS > int(PATIENCE_WITH_QUEUES[LEEWAY]):
        found[LEEWAY] = str(min(every + LATE_SECONDS, MOST_LEEWAY_SECONDS))
    if timeout > TOKEN_SECONDS:
        # Airflow 3.1 knows one lifetime for all tokens of tasks; later ones follow the timeout.
        found[LIFETIME] = str(timeout)
    return found


def _seconds(variables: Mapping[str, str], name: str) -> int:
    """Return whole seconds, 0 for what is not a number: Airflow says that itself."""
    with suppress(ValueError, OverflowError):
        return max(0, math.ceil(float(variables.get(name, "0"))))
    return 0
