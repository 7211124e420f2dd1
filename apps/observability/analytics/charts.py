"""Which charts a Deployment has, and what their headings say. Pure: from lines to charts.

A chart never invents: where no line has a value there is a gap, which the page hatches and names.
"""

from collections.abc import Iterable, Sequence

from apps.dataplane.spec import WorkerQueue
from apps.observability.analytics.component_charts import (
    component_charts,
    database,
    heartbeats,
    pool_charts,
)
from apps.observability.analytics.drawing import Found, Section, known
from apps.observability.analytics.work_charts import (
    delay_chart,
    percentiles_chart,
    queue_charts,
    running_charts,
    runs_chart,
    tasks_chart,
)
from apps.observability.history.queries import Line

SHOWN = (
    "heartbeat_age",
    "runs_succeeded",
    "runs_failed",
    "tasks_succeeded",
    "tasks_failed",
    "tasks_retried",
    "run_p50",
    "run_p90",
    "task_p50",
    "task_p90",
    "wait_p50",
    "wait_p90",
    "delay_p90",
    "queued",
    "running",
    "workers",
    "workers_wanted",
    "cpu_millis",
    "cpu_limit",
    "memory_bytes",
    "memory_limit",
    "pods",
    "pool_slots",
    "pool_used",
    "pool_waiting",
    "database_bytes",
)


def sections_of(
    lines: Iterable[Line], *, queues: Sequence[WorkerQueue], executor: str
) -> list[Section]:
    """Return the charts of what was found; a chart of which nothing is known is left out."""
    found = Found(lines={(line.metric, line.label): line for line in lines})
    sections = [
        Section(key="work", title="", charts=known(runs_chart(found), tasks_chart(found))),
        Section(
            key="time",
            title="",
            charts=known(
                percentiles_chart(found, "run", "DAG run duration"),
                percentiles_chart(found, "task", "Task duration"),
                percentiles_chart(found, "wait", "Time in the queue"),
                delay_chart(found),
            ),
        ),
        queue_charts(found, queues) if executor == "celery" else running_charts(found),
        component_charts(found, queues if executor == "celery" else None),
        pool_charts(found),
        Section(key="health", title="", charts=known(heartbeats(found), database(found))),
    ]
    return [section for section in sections if section.charts]
