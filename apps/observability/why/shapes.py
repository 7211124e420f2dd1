"""What is known of a task that waits beside Airflow's facts, and the shape of a reason."""

from dataclasses import dataclass

from apps.dataplane.spec import ExecutorName
from apps.observability.why.facts import Facts

UNLIMITED = -1


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The cluster's own words of why a pod does not start: a quota, or no node has room."""

    message: str
    is_quota: bool


@dataclass(frozen=True, kw_only=True)
class KnownQueue:
    """What the portal knows of a worker queue: its settings, its workers, and what it said last."""

    name: str
    min_workers: int
    max_workers: int
    concurrency: int
    workers_ready: int = 0
    workers_wanted: int = 0
    state: str = ""
    detail: str = ""
    note: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the portal knows beside Airflow's facts. `refusal` is of pods that run one task."""

    executor: ExecutorName
    queues: tuple[KnownQueue, ...] = ()
    refusal: Refusal | None = None

    def queue(self, name: str) -> KnownQueue | None:
        return next((queue for queue in self.queues if queue.name == name), None)


@dataclass(frozen=True)
class Reason:
    """`key` chooses the remedies; `tone` is `warn` where a person can mend it, `move` where it
    passes by itself, `good` where nothing is wrong.
    """

    key: str
    title: str
    message: str
    tone: str = "warn"


def active(facts: Facts) -> int:
    """Return how many tasks of an Airflow run or are queued."""
    return facts.running + facts.queued


def slots(facts: Facts) -> int:
    """Return how many may, with all of its schedulers."""
    return (facts.parallelism or 0) * max(1, facts.schedulers)
