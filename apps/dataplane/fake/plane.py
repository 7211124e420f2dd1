"""A data plane in memory, for tests: same protocol, same contract suite, and failures on demand.

All instances share one `FakeStore`, because the portal makes a new plane for every pass. A test
scripts it through `FakePlane.store` and begins with `FakePlane.store.reset()`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from apps.dataplane.airflow_answers import import_errors
from apps.dataplane.airflow_token import PORTAL, AirflowUser
from apps.dataplane.errors import DataPlaneError, Permanent
from apps.dataplane.imports.types import (
    FoundAirflow,
    FoundDag,
    ImportedDatabase,
    ImportSource,
)
from apps.dataplane.project import InstalledPackages, PackageLock, ParsedProject
from apps.dataplane.spec import DeploymentSpec, RuntimeSpec
from apps.dataplane.status import (
    AirflowResponse,
    ComponentStatus,
    DatabaseDump,
    Drift,
    Finding,
    HealthState,
    LiveMetrics,
    LogLine,
    LogPage,
    Notice,
    Observation,
    PlaneCheck,
    Progress,
    QueueStatus,
    ScalingDecision,
    Step,
    StepState,
    Usage,
)

APPLY_STEPS = (
    ("runtime", "Install the runtime"),
    ("database", "Create the metadata database"),
    ("code", "Deploy the code"),
    ("config", "Write the configuration"),
    ("core", "Start Airflow"),
    ("workers", "Start the workers"),
    ("healthy", "Wait until Airflow is healthy"),
)
DELETE_STEPS = (
    ("stop", "Stop Airflow"),
    ("database", "Drop the metadata database"),
    ("files", "Remove the files"),
)
CORE_COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


@dataclass
class FakeAirflow:
    """One Deployment of the fake plane. `restarts` counts what an apply restarted, by component;
    `import_errors` are rows as Airflow's REST API gives them.
    """

    wanted: DeploymentSpec
    applied: DeploymentSpec | None = None
    passes: int = 0
    delete_passes: int = 0
    health: HealthState = "starting"
    message: str = "Airflow is starting."
    restarts: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, tuple[int, int]] = field(default_factory=dict)
    drift: tuple[Drift, ...] = ()
    notices: tuple[Notice, ...] | None = None
    import_errors: list[dict[str, object]] = field(default_factory=list)
    live_metrics: LiveMetrics | None = None
    scaling: tuple[ScalingDecision, ...] = ()


@dataclass
class ScriptedFailure:
    method: str
    error: DataPlaneError
    times: int | None
    ref: str


@dataclass
class FakeStore:
    """The state of the fake plane, and what a test scripts.

    `apply_passes_needed` and `delete_passes_needed` are how many calls it takes until done. `found`
    is what a check returns in place of its default, `storage` what a storage test finds. `calls`
    lists every call as (method, ref), oldest first, and `airflow_users` as whom Airflow was called.
    `limit` is what each component may use. `responses` are by method and path, with its query or
    for any; `respond` stands in for the REST API of every Airflow. `lock` is what any requirements
    come to, `project` what any code defines.
    """

    apply_passes_needed: int = 1
    delete_passes_needed: int = 1
    is_usable: bool = True
    found: PlaneCheck | None = None
    storage: tuple[Finding, ...] = ()
    airflows: dict[str, FakeAirflow] = field(default_factory=dict)
    failures: list[ScriptedFailure] = field(default_factory=list)
    never_healthy: set[str] = field(default_factory=set)
    log_lines: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    parse_lines: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    responses: dict[tuple[str, str], AirflowResponse] = field(default_factory=dict)
    airflow_users: list[AirflowUser] = field(default_factory=list)
    respond: Callable[[str, str, Mapping[str, object] | None], AirflowResponse] | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    limit: Usage | None = None
    lock: PackageLock = PackageLock(text="", packages=())
    image: str = ""
    project: ParsedProject = ParsedProject()

    def reset(self) -> None:
        """Reset everything, so that tests are independent of each other."""
        self.__dict__.update(FakeStore().__dict__)

    def fail(
        self, method: str, error: DataPlaneError, *, times: int | None = 1, ref: str = ""
    ) -> None:
        """Make the next `times` calls of `method` raise `error` (None: all), of one ref or any."""
        self.failures.append(ScriptedFailure(method, error, times, ref))

    def heal(self) -> None:
        """Remove the scripted failures, and let Deployments become healthy that never were."""
        self.failures.clear()
        self.never_healthy.clear()

    def enter(self, method: str, ref: str = "") -> None:
        """Count the call, and raise what a test scripted for it."""
        self.calls.append((method, ref))
        for failure in self.failures:
            if failure.method != method or failure.ref not in ("", ref) or failure.times == 0:
                continue
            if failure.times is not None:
                failure.times -= 1
            raise failure.error


class FakePlane:
    """`DataPlane` without processes. It takes any arguments, to stand in for any plane."""

    store: ClassVar[FakeStore] = FakeStore()

    def __init__(self, *_arguments: object, **_keywords: object) -> None:
        pass

    def check(self) -> PlaneCheck:
        self.store.enter("check")
        if self.store.found is not None:
            return self.store.found
        finding = Finding(
            title="Fake data plane",
            is_ok=self.store.is_usable,
            detail="It keeps Deployments in memory.",
            remedy="" if self.store.is_usable else "Reset the fake data plane.",
        )
        return PlaneCheck(is_usable=self.store.is_usable, version="fake", findings=(finding,))

    def try_storage(self) -> tuple[Finding, ...]:
        self.store.enter("try_storage")
        return self.store.storage

    def apply(self, *, spec: DeploymentSpec) -> Progress:
        airflow = self.store.airflows.get(spec.ref)
        if airflow is None:
            airflow = self.store.airflows[spec.ref] = FakeAirflow(wanted=spec)
        if airflow.wanted != spec:
            airflow.passes = 0
        airflow.wanted = spec
        self.store.enter("apply", spec.ref)
        airflow.passes += 1
        is_done = airflow.passes >= self.store.apply_passes_needed
        is_done = is_done and spec.ref not in self.store.never_healthy
        if is_done:
            self._finish(airflow, spec)
        reached = len(APPLY_STEPS) if is_done else min(airflow.passes, len(APPLY_STEPS) - 1)
        return Progress(steps=_steps(APPLY_STEPS, reached), is_done=is_done)

    def observe(self, *, ref: str) -> Observation:
        self.store.enter("observe", ref)
        return self._look(ref)

    def _look(self, ref: str) -> Observation:
        now = datetime.now(UTC)
        airflow = self.store.airflows.get(ref)
        if airflow is None:
            return Observation(
                observed_at=now,
                exists=False,
                applied_revision=0,
                health="stopped",
                message="Nothing of this Deployment is on the data plane.",
            )
        applied = airflow.applied
        return Observation(
            observed_at=now,
            exists=True,
            applied_revision=applied.revision if applied else 0,
            health=airflow.health,
            message=airflow.message,
            components=tuple(_component(airflow, name) for name in _names(airflow.wanted)),
            queues=_queues(airflow),
            code_digest=applied.code.digest if applied and applied.code else "",
            import_errors=len(airflow.import_errors) if applied else None,
            ui_url=f"http://airflow.invalid/{ref}/",
            api_url=f"http://airflow.invalid/{ref}/api/v2",
            is_drifted=bool(airflow.drift),
            drift=tuple(Drift(object=one.object) for one in airflow.drift),
            notices=airflow.notices,
        )

    def limits(self, *, spec: DeploymentSpec, counts: Mapping[str, int]) -> Mapping[str, Usage]:
        most = self.store.limit
        return {} if most is None else {name: most for name, count in counts.items() if count}

    def scaling_decisions(
        self, *, spec: DeploymentSpec, since: datetime
    ) -> tuple[ScalingDecision, ...]:
        airflow = self.store.airflows.get(spec.ref)
        return tuple(one for one in airflow.scaling if one.at > since) if airflow else ()

    def delete(self, *, ref: str) -> Progress:
        self.store.enter("delete", ref)
        airflow = self.store.airflows.get(ref)
        if airflow is None:
            return Progress(steps=_steps(DELETE_STEPS, len(DELETE_STEPS)), is_done=True)
        airflow.delete_passes += 1
        if airflow.delete_passes < self.store.delete_passes_needed:
            return Progress(steps=_steps(DELETE_STEPS, 0), is_done=False)
        del self.store.airflows[ref]
        return Progress(steps=_steps(DELETE_STEPS, len(DELETE_STEPS)), is_done=True)

    def back_up(self, *, ref: str, path: str) -> DatabaseDump:
        self.store.enter("back_up", ref)
        content = f"dump of {ref}".encode()
        Path(path).write_bytes(content)
        return DatabaseDump(
            airflow_version=self.store.airflows[ref].wanted.runtime.airflow_version
            if ref in self.store.airflows
            else "3.3.2",
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def lock_runtime(self, *, airflow_version: str) -> str:
        self.store.enter("lock_runtime", airflow_version)
        return f"apache-airflow=={airflow_version} \\\n    --hash=sha256:{'0' * 64}\n"

    def prepare_runtime(self, *, runtime: RuntimeSpec) -> str:
        self.store.enter("prepare_runtime", runtime.version)
        return ""

    def lock_packages(
        self,
        *,
        spec: DeploymentSpec,
        requirements: tuple[str, ...],
        preferred: Mapping[str, str],
    ) -> PackageLock:
        self.store.enter("lock_packages", spec.ref)
        return self.store.lock if requirements else PackageLock(text="", packages=())

    def install_packages(self, *, spec: DeploymentSpec) -> InstalledPackages:
        self.store.enter("install_packages", spec.ref)
        return InstalledPackages(packages=self.store.lock.packages, image=self.store.image)

    def remove_image(self, *, image: str) -> None:
        """Note that an image was removed."""
        self.store.enter("remove_image", image)

    def copy_image(self, *, image: str, source: object) -> str:
        """Note that an image was copied; it keeps its name."""
        self.store.enter("copy_image", image)
        return image

    def parse_project(self, *, spec: DeploymentSpec) -> ParsedProject:
        self.store.enter("parse_project", spec.ref)
        return self.store.project

    def reach(self) -> None:
        self.store.enter("reach")

    def survey(self) -> Iterator[tuple[str, Observation]]:
        """Observe every Airflow, without counting it as calls of `observe`."""
        self.store.enter("survey")
        for ref in list(self.store.airflows):
            yield ref, self._look(ref)

    def drift(self, *, spec: DeploymentSpec) -> tuple[Drift, ...]:
        self.store.enter("drift", spec.ref)
        airflow = self.store.airflows.get(spec.ref)
        return airflow.drift if airflow else ()

    def mark_busy_workers(self, *, spec: DeploymentSpec) -> int:
        self.store.enter("mark_busy_workers", spec.ref)
        return 1

    def live_metrics(self, *, spec: DeploymentSpec) -> LiveMetrics:
        self.store.enter("live_metrics", spec.ref)
        airflow = self.store.airflows.get(spec.ref)
        told = airflow.live_metrics if airflow else None
        return told or LiveMetrics(taken_at=datetime.now(UTC), tasks_unknown="Not reported.")

    def components(self, *, ref: str) -> tuple[str, ...]:
        airflow = self.store.airflows.get(ref)
        return _names(airflow.wanted) if airflow else ()

    def logs(
        self, *, ref: str, component: str, cursor: str = "", contains: str = "", limit: int = 500
    ) -> LogPage:
        self.store.enter("logs", ref)
        lines = self.store.log_lines.get((ref, component), [])
        return _page(lines, component, cursor=cursor, contains=contains, limit=limit)

    def dag_files(self, *, ref: str) -> tuple[str, ...]:
        self.store.enter("dag_files", ref)
        return tuple(sorted(file for known, file in self.store.parse_lines if known == ref))

    def parse_log(
        self, *, ref: str, file: str, cursor: str = "", contains: str = "", limit: int = 500
    ) -> LogPage:
        self.store.enter("parse_log", ref)
        if (ref, file) not in self.store.parse_lines:
            raise Permanent("This DAG file has no log.")
        lines = self.store.parse_lines[ref, file]
        return _page(lines, file, cursor=cursor, contains=contains, limit=limit)

    def airflow(
        self,
        *,
        spec: DeploymentSpec,
        method: str,
        path: str,
        json: Mapping[str, object] | None = None,
        user: AirflowUser = PORTAL,
    ) -> AirflowResponse:
        self.store.enter("airflow", spec.ref)
        self.store.airflow_users.append(user)
        missing = AirflowResponse(status=404, data={"detail": "Not Found"})
        airflow = self.store.airflows.get(spec.ref)
        if airflow is not None and path.partition("?")[0] == import_errors.PATH:
            rows = airflow.import_errors
            return AirflowResponse(
                status=200, data={"import_errors": rows, "total_entries": len(rows)}
            )
        if self.store.respond is not None:
            return self.store.respond(method.upper(), path, json)
        responses = self.store.responses
        known = responses.get((method.upper(), path))
        return known or responses.get((method.upper(), path.partition("?")[0]), missing)

    def _finish(self, airflow: FakeAirflow, spec: DeploymentSpec) -> None:
        for name in _restarted(airflow.applied, spec):
            airflow.restarts[name] = airflow.restarts.get(name, 0) + 1
        airflow.applied = spec
        airflow.health = "stopped" if spec.is_hibernating else "healthy"
        airflow.message = "Nothing runs." if spec.is_hibernating else "Airflow is healthy."
        if spec.corrects_drift:
            airflow.drift = ()


def _page(lines: list[str], component: str, *, cursor: str, contains: str, limit: int) -> LogPage:
    start = int(cursor) if cursor else max(0, len(lines) - limit)
    end = min(len(lines), start + limit)
    kept = [line for line in lines[start:end] if contains.lower() in line.lower()]
    return LogPage(
        lines=tuple(LogLine(at=None, component=component, text=line) for line in kept),
        cursor=str(end),
        is_truncated=not cursor and start > 0,
    )


def _steps(titles: tuple[tuple[str, str], ...], done_count: int) -> tuple[Step, ...]:
    steps = []
    for index, (key, title) in enumerate(titles):
        state: StepState = (
            "done" if index < done_count else "running" if index == done_count else "waiting"
        )
        steps.append(Step(key=key, title=title, state=state))
    return tuple(steps)


def _names(spec: DeploymentSpec) -> tuple[str, ...]:
    return (*CORE_COMPONENTS, *(f"worker {queue.name}" for queue in spec.queues))


def _component(airflow: FakeAirflow, name: str) -> ComponentStatus:
    is_up = airflow.applied is not None
    if airflow.applied is not None and airflow.applied.is_hibernating:
        return ComponentStatus(name=name, state="stopped", ready=0, wanted=0)
    return ComponentStatus(
        name=name,
        state="running" if is_up else "starting",
        ready=int(is_up),
        wanted=1,
        restarts=airflow.restarts.get(name, 0),
    )


def _queues(airflow: FakeAirflow) -> tuple[QueueStatus, ...]:
    statuses = []
    for queue in airflow.wanted.queues:
        queued, running = airflow.tasks.get(queue.name, (0, 0))
        workers = queue.min_workers if airflow.applied else 0
        status = QueueStatus(
            name=queue.name,
            workers_ready=workers,
            workers_wanted=queue.min_workers,
            tasks_queued=queued,
            tasks_running=running,
        )
        statuses.append(status)
    return tuple(statuses)


def _restarted(before: DeploymentSpec | None, after: DeploymentSpec) -> tuple[str, ...]:
    """Name what an edit restarts; the local plane finds the same by comparing program files."""
    if before is None:
        return ()
    if (before.variables, before.runtime, before.executor) != (
        after.variables,
        after.runtime,
        after.executor,
    ):
        return _names(after)
    concurrency = {queue.name: queue.concurrency for queue in before.queues}
    return tuple(
        f"worker {queue.name}"
        for queue in after.queues
        if concurrency.get(queue.name, queue.concurrency) != queue.concurrency
    )


def import_database(
    *, home: object, scratch: object, source: ImportSource, path: Path
) -> ImportedDatabase:
    """Find the same in every source, as `settings.IMPORT_READER` does; no file is looked at."""
    FakePlane.store.enter("import_database", source.key)
    path.write_bytes(b"archive")
    found = FoundAirflow(
        airflow_version="2.10.3",
        versions="2.10.3 to 2.11",
        database_bytes=10_000_000,
        counts={"DAGs": 2, "DAG runs": 40, "Connections": 1},
        dags=(
            FoundDag(dag_id="orders_daily", file="/dags/shop.py", is_paused=False),
            FoundDag(dag_id="never_unpaused", file="/dags/shop.py", is_paused=True),
        ),
        users=("ada@example.org",),
        secrets=2,
    )
    return ImportedDatabase(
        found=found,
        size_bytes=7,
        sha256=hashlib.sha256(b"archive").hexdigest(),
        postgres=18,
        fernet_key="7T512UXSSmBOkpWimFHIVb8jK6lfmSAvx4mO6Arehnc=",
    )
