"""The output of a data plane: what it did and saw. Frozen, free of Django and of secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

StepState = Literal["waiting", "running", "done", "failed", "skipped"]
ComponentState = Literal[
    "starting", "running", "stopping", "stopped", "crashing", "failed", "unknown"
]
HealthState = Literal["healthy", "unhealthy", "starting", "stopped", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One named part of a long action. `detail` is a message, `log` the last lines worth reading
    if it failed.
    """

    key: str
    title: str
    state: StepState
    detail: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an apply or a delete came. `is_done` means that nothing is left to do."""

    steps: tuple[Step, ...]
    is_done: bool
    retry_after_seconds: float = 2.0


@dataclass(frozen=True, kw_only=True)
class ComponentStatus:
    """One component (`scheduler`, `api-server`, `dag-processor`, `triggerer`, `worker default`).

    `restarts` counts how often it ended by itself and was started again in the last 24 hours.
    """

    name: str
    state: ComponentState
    ready: int
    wanted: int
    detail: str = ""
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    memory_bytes: int | None = None
    cpu_millis: int | None = None
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """Workers and tasks of one queue at the moment of the look; None is what the look did not tell.

    `note` is a message about the number of workers, where something other than the tasks rules it.
    """

    name: str
    workers_ready: int
    workers_wanted: int
    tasks_queued: int | None
    tasks_running: int | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the processes of one component use together."""

    memory_bytes: int
    cpu_millis: int


@dataclass(frozen=True, kw_only=True)
class LiveMetrics:
    """What changes by the second and is asked for only while somebody looks.

    `tasks` are (queued, running) by queue, `usage` and `heartbeats` are by component. None where
    nobody tells, and then `tasks_unknown` or `usage_unknown` says why.
    """

    taken_at: datetime
    tasks: Mapping[str, tuple[int, int]] | None = None
    tasks_unknown: str = ""
    import_errors: int | None = None
    heartbeats: Mapping[str, datetime] | None = None
    usage: Mapping[str, Usage] | None = None
    usage_unknown: str = ""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One object that somebody else changed, as `Deployment/scheduler`, and the paths of our fields
    in it that differ; no fields means that the object is gone.
    """

    object: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A warning that the data plane gave of late, the same one counted and not repeated.

    `object` is `Pod/scheduler-7c9f`, `reason` a word of the data plane (`FailedScheduling`).
    `is_over`: what it is about has gone, or has become ready since.
    """

    object: str
    reason: str
    message: str
    count: int
    last_at: datetime
    is_over: bool = False


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What is true now. `applied_revision` is what the plane itself last finished applying, 0 for
    nothing.

    `health` is a verdict about Airflow's API server and scheduler alone; `message` says it in
    words. `is_drifted` says that what runs differs from what was applied, `drift` where, as far as
    that is known. `notices` are those of the last hour, newest first; None means that they were
    not asked for. `checked_for_drift` are the kinds of objects that `drift` speaks of, None for
    all.
    """

    observed_at: datetime
    exists: bool
    applied_revision: int
    health: HealthState
    message: str
    components: tuple[ComponentStatus, ...] = ()
    queues: tuple[QueueStatus, ...] = ()
    code_digest: str = ""
    import_errors: int | None = None
    ui_url: str = ""
    api_url: str = ""
    is_drifted: bool = False
    drift: tuple[Drift, ...] = ()
    notices: tuple[Notice, ...] | None = None
    checked_for_drift: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of a component's log. `at` is None when the line carries no time of its own."""

    at: datetime | None
    component: str
    text: str


@dataclass(frozen=True, kw_only=True)
class LogPage:
    """Lines oldest first. `cursor` is opaque: pass it back to read what came after."""

    lines: tuple[LogLine, ...]
    cursor: str
    is_truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fact about a data plane, good or not, with what to do about it."""

    title: str
    is_ok: bool
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Permission:
    """What the portal must be allowed to do with one kind of object (`deployments.apps`), and which
    of the verbs it is not.
    """

    what: str
    verbs: tuple[str, ...]
    missing: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class PlaneCheck:
    """The result of testing a data plane. `is_usable` means that a Deployment can be created on it
    now. The cluster's default storage class comes first; `has_keda` None means not looked for.
    `identity` tells one cluster from another whatever its address (the uid of `kube-system`).
    """

    is_usable: bool
    version: str
    findings: tuple[Finding, ...]
    permissions: tuple[Permission, ...] = ()
    storage_classes: tuple[str, ...] = ()
    has_keda: bool | None = None
    latency_ms: int | None = None
    identity: str = ""


@dataclass(frozen=True, kw_only=True)
class AirflowResponse:
    """What an Airflow REST call answered: HTTP status and the parsed JSON (None when there is
    none).
    """

    status: int
    data: object
