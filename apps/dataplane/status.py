"""The output of a data plane: progress and observations. Frozen, free of Django and of secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

StepState = Literal["waiting", "running", "done", "failed", "skipped"]
ComponentState = Literal[
    "starting", "running", "stopping", "stopped", "crashing", "failed", "unknown"
]
HealthState = Literal["healthy", "unhealthy", "starting", "stopped", "unknown"]
ScalingReason = Literal[
    "up",
    "down",
    "cooldown",
    "busy",
    "no-slot",
    "maximum",
    "minimum",
    "steady",
    "paused",
    "not-counted",
]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One named part of a long action. `detail` is a message, `log` the last lines worth reading
    if it failed. A step is `skipped` where this pass found nothing to do for it. One that waits for
    tasks, and ends that wait itself, may run for `allowed_seconds` before it counts as stalled.
    """

    key: str
    title: str
    state: StepState
    detail: str = ""
    log: tuple[str, ...] = ()
    allowed_seconds: int = 0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of an apply or a delete. `is_done` means that nothing is left to do."""

    steps: tuple[Step, ...]
    is_done: bool
    retry_after_seconds: float = 2.0


@dataclass(frozen=True, kw_only=True)
class ComponentStatus:
    """One component (`scheduler`, `api-server`, `dag-processor`, `triggerer`, `worker default`).

    `restarts` counts how often it ended by itself and was restarted in the last 24 hours.
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
    """Workers and tasks of one queue at the time of the observation; None is what it did not
    include.

    `note` is a message about the number of workers, where something other than the tasks determines
    it.
    """

    name: str
    workers_ready: int
    workers_wanted: int
    tasks_queued: int | None
    tasks_running: int | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ScalingDecision:
    """What was decided about the workers of one queue, and from which inputs.

    `wanted` is what the tasks ask for within minimum and maximum, `workers` how many ran when it
    was decided, `ready` how many of those took tasks; None is what the plane does not report.
    `reason` is what was done, or why nothing was: `busy` and `no-slot` wait for a task or a process
    to end, `not-counted` means that the tasks could not be counted. `message` is the plane's own.
    """

    at: datetime
    queue: str
    queued: int | None
    running: int | None
    concurrency: int
    min_workers: int
    max_workers: int
    cooldown_seconds: int
    wanted: int
    workers: int
    ready: int | None
    reason: ScalingReason
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the processes of one component use together."""

    memory_bytes: int
    cpu_millis: int


@dataclass(frozen=True, kw_only=True)
class LiveMetrics:
    """What changes by the second and is measured only while a page is open.

    `tasks` are (queued, running) by queue, `waiting` is since when the first queued task of a queue
    waits, `usage` and `heartbeats` are by component. None where not reported, and then
    `tasks_unknown` or `usage_unknown` is the reason. `warnings` are as in an observation.
    """

    taken_at: datetime
    tasks: Mapping[str, tuple[int, int]] | None = None
    waiting: Mapping[str, datetime] | None = None
    tasks_unknown: str = ""
    import_errors: int | None = None
    warnings: tuple[str, ...] | None = None
    heartbeats: Mapping[str, datetime] | None = None
    usage: Mapping[str, Usage] | None = None
    usage_unknown: str = ""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One object that others changed, as `Deployment/scheduler`, and the paths in it that differ or
    that others added. `values` are (wanted, actual) by path, where they may be shown: nothing
    secret. `authors` are (program, ISO time) by path, where the data plane knows who it was.
    """

    object: str
    fields: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    is_gone: bool = False
    authors: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def described(self, path: str) -> str:
        """Return a path with the program that changed it, if that is known."""
        return f"{path} (by {self.authors[path][0]})" if path in self.authors else path


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A recent warning of the data plane; equal ones are counted, not repeated.

    `object` is `Pod/scheduler-7c9f`, `reason` a word of the data plane (`FailedScheduling`).
    `is_over`: its object is gone, has become ready since, or has found the node that it lacked.
    """

    object: str
    reason: str
    message: str
    count: int
    last_at: datetime
    is_over: bool = False


@dataclass(frozen=True, kw_only=True)
class ImportFailure:
    """One DAG file that Airflow cannot import. `message` is the last line of the traceback, `line`
    the place in the file, where the traceback names one.
    """

    file: str
    line: int | None
    message: str
    traceback: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ImportErrors:
    """The DAG files that cannot be imported: how many, and the newest of them."""

    count: int
    failures: tuple[ImportFailure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What is true now. `applied_revision` is what the plane itself last finished applying, 0 for
    nothing.

    `health` is that of Airflow's API server and scheduler alone; `message` explains it.
    `is_drifted` means that what runs differs from what was applied, `drift` where, as far as that
    is known. `notices` are those of the last hour, newest first; None means that they were not
    requested. `checked_for_drift` are the kinds of objects that `drift` covers, None for all.
    `import_errors` counts the DAG files that cannot be imported, `import_failures` describes them;
    None means that they were not requested. `warnings` are sentences about tasks that cannot start,
    None likewise.
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
    import_failures: tuple[ImportFailure, ...] | None = None
    warnings: tuple[str, ...] | None = None
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
    now. The cluster's default storage class comes first; `has_keda`,
    `gives_user_ids`, for namespaces with users of their own, and `may_scale` are None where it was
    not checked.
    `identity` tells clusters apart whatever their address (the uid of `kube-system`).
    """

    is_usable: bool
    version: str
    findings: tuple[Finding, ...]
    permissions: tuple[Permission, ...] = ()
    storage_classes: tuple[str, ...] = ()
    has_keda: bool | None = None
    gives_user_ids: bool | None = None
    may_scale: bool | None = None
    latency_ms: int | None = None
    identity: str = ""


@dataclass(frozen=True, kw_only=True)
class DatabaseDump:
    """A complete dump of a metadata database: an archive of pg_dump, its size in bytes, and the
    Airflow whose tables are in it.
    """

    airflow_version: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SentDump(DatabaseDump):
    """A dump whose parts are in a bucket, with their ETags; `postgres` is the major version of the
    pg_dump that wrote it.
    """

    tags: tuple[str, ...]
    postgres: int


@dataclass(frozen=True, kw_only=True)
class AirflowResponse:
    """The response of an Airflow REST call: HTTP status and the parsed JSON (None when there is
    none).
    """

    status: int
    data: object
