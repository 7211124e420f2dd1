"""Tasks that wait for what will not come, and plugins that are missing: told by the Airflow itself,
on every plane.

Pages list the queues that are configured. A task may name another one, or may be handed to workers
that cannot start it, and Airflow says neither; a plugin that it cannot import it leaves out.
`runtime/plugins/portal_counts.py` answers; what it says is the word of a machine that runs user
code: bounded, and stripped of what acts on a screen.
"""

import re
from collections.abc import Iterable

from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.untrusted import masked, masks, text_of

COUNTS = "/auth/portal/counts"
MOST = 10**9
MOST_WARNINGS = 10
LONGEST_QUEUE, LONGEST_PLUGIN, LONGEST_ERROR = 63, 100, 300
NO_QUEUE, NO_START = "no-queue", "no-start"
# The sentences below, read back: they are what is stored.
_SENTENCES = (
    (NO_QUEUE, re.compile(r"^[\d,]+ tasks? waits? for the queue (.*), which does not exist\.$")),
    (NO_START, re.compile(r"^[\d,]+ tasks? ha(?:s|ve) waited in the queue (.*) for more than ")),
)
# Workers that come from none need a few.
LONG_MINUTES = (60, 30, 10, 5)


def read_warnings(plane: DataPlane, *, spec: DeploymentSpec) -> tuple[str, ...] | None:
    """Return sentences about tasks that cannot start and plugins that cannot be imported, or None
    where Airflow does not report.
    """
    try:
        answer = plane.airflow(spec=spec, method="GET", path=COUNTS)
    except DataPlaneError:
        return None
    return warnings_in(answer.data, spec=spec) if answer.status == 200 else None


def warnings_in(said: object, *, spec: DeploymentSpec) -> tuple[str, ...] | None:
    """Read an answer of Airflow. Pure; None when it has another shape."""
    told = said if isinstance(said, dict) else {}
    waiting, tasks = told.get("waiting"), told.get("tasks")
    if not isinstance(waiting, list) or not isinstance(tasks, list):
        return None
    running = _queues_that_run(tasks)
    queues = {queue.name for queue in spec.queues}
    found = []
    for row in waiting:
        if not isinstance(row, list) or len(row) != 3:
            continue
        queue, count, seconds = str(row[0]), count_of(row[1]), count_of(row[2])
        if not count:
            continue
        if spec.executor == "celery" and queue not in queues:
            found.append(_without_queue(text_of(queue, LONGEST_QUEUE), count))
        elif queue not in running and (minutes := _long(seconds)):
            found.append(_without_start(text_of(queue, LONGEST_QUEUE), count, minutes))
    found += _without_plugins(told.get("plugin_errors"), spec)
    return tuple(found[:MOST_WARNINGS])


def _without_plugins(rows: object, spec: DeploymentSpec) -> list[str]:
    hidden = masks(one.value for one in spec.variables if one.is_secret)
    return [
        f"The plugin {text_of(row[0], LONGEST_PLUGIN)} cannot be imported: "
        f"{text_of(masked(str(row[1]), hidden), LONGEST_ERROR)}"
        for row in (rows[:MOST_WARNINGS] if isinstance(rows, list) else [])
        if isinstance(row, list) and len(row) == 2
    ]


def queue_in(warning: str) -> tuple[str, str]:
    """Return what a sentence of `warnings_in` is about, NO_QUEUE or NO_START, and of which queue;
    two empty texts for any other sentence.
    """
    for kind, pattern in _SENTENCES:
        found = pattern.match(warning)
        if found:
            return kind, found[1]
    return "", ""


def count_of(value: object) -> int | None:
    """Return a number of things, None for anything else."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
    return value if is_count and isinstance(value, int) else None


def _queues_that_run(rows: Iterable[object]) -> set[str]:
    return {
        str(row[0])
        for row in rows
        if isinstance(row, list) and len(row) == 3 and row[1] == "running" and row[2]
    }


def _long(seconds: int | None) -> int:
    return next((one for one in LONG_MINUTES if seconds and seconds >= one * 60), 0)


def _without_queue(queue: str, count: int) -> str:
    if count == 1:
        return f"1 task waits for the queue {queue}, which does not exist."
    return f"{count:,} tasks wait for the queue {queue}, which does not exist."


def _without_start(queue: str, count: int, minutes: int) -> str:
    what = "1 task has" if count == 1 else f"{count:,} tasks have"
    return (
        f"{what} waited in the queue {queue} for more than {minutes} minutes, and none of that "
        "queue runs."
    )
