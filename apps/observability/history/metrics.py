"""The metrics that are kept of a Deployment, and how some values of one become a single value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

RAW, FINE, COARSE = 30, 300, 3600
STEPS = (RAW, FINE, COARSE)

Joined = Literal["sum", "highest", "mean"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`step` is the finest resolution in seconds, `joined` how values of an interval become one."""

    name: str
    step: int
    joined: Joined


# What grows before something breaks: tasks that were lost, triggers and the DAG processor's lag,
# whether it starts runs by schedule, and the volume of task logs; incidents are found in them.
STRAIN = (
    "lost_tasks",
    "triggers",
    "triggers_waiting",
    "trigger_slots",
    "parse_age",
    "parse_interval",
    "schedules",
    "volume_bytes",
    "volume_free",
)


SECOND = "sampled_second"


def _metrics(step: int, joined: Joined, *names: str) -> list[Metric]:
    return [Metric(name=name, step=step, joined=joined) for name in names]


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        # What ended in Airflow, in buckets of five minutes; durations in seconds.
        *_metrics(FINE, "sum", "runs_succeeded", "runs_failed"),
        *_metrics(FINE, "sum", "tasks_succeeded", "tasks_failed", "tasks_retried"),
        *_metrics(FINE, "mean", "run_p50", "task_p50", "wait_p50"),
        *_metrics(FINE, "highest", "run_p90", "task_p90", "wait_p90", "delay_p90"),
        # What is, every 30 seconds: by queue, by pool, by component, or of the whole.
        *_metrics(RAW, "highest", "queued", "running", "workers", "workers_wanted"),
        *_metrics(RAW, "highest", "runs_queued", "runs_running"),
        *_metrics(RAW, "highest", "pool_slots", "pool_used", "pool_waiting"),
        *_metrics(RAW, "highest", "heartbeat_age"),
        *_metrics(RAW, "highest", "memory_bytes", "cpu_millis", "pods"),
        *_metrics(RAW, "highest", "memory_limit", "cpu_limit"),
        *_metrics(RAW, "highest", "database_bytes"),
        # When in its half minute a sample was taken, for who must know it to the second.
        *_metrics(RAW, "mean", SECOND),
        *_metrics(RAW, "highest", *STRAIN),
    )
}
JOINERS: Mapping[Joined, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "highest": max,
    "mean": lambda values: sum(values) / len(values),
}
