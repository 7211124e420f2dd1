"""The local data plane: real Airflow as supervised processes of one machine, no container.

It serves a laptop and a small team on one VM. Its limits: one machine, and no isolation between
Deployments.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import psutil

from apps.dataplane.airflow_token import PORTAL, AirflowUser, service_token
from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.local.airflow import api as airflow_api
from apps.dataplane.local.airflow.logs import log_files, parse_logs
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.runtimes import ensure_runtime
from apps.dataplane.local.backups import dumping
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control import scaling_log
from apps.dataplane.local.control.apply import ApplyPass
from apps.dataplane.local.control.capacity import (
    MIN_DISK_MB,
    NEEDED_MB,
    a_full_disk_passes,
    available_memory_mb,
    free_disk_mb,
    machine_limits,
)
from apps.dataplane.local.control.deletion import DeletePass
from apps.dataplane.local.control.observe import Observer
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, deployment_lock, read_state, read_wanted
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.local.projects import environments, parsing, resolving, runtime_locks
from apps.dataplane.project import InstalledPackages, PackageLock, ParsedProject
from apps.dataplane.spec import DeploymentSpec, RuntimeSpec
from apps.dataplane.status import (
    AirflowResponse,
    DatabaseDump,
    Finding,
    LogPage,
    Observation,
    PlaneCheck,
    Progress,
    ScalingDecision,
    Usage,
)

MAX_LINES = 5000


class LocalPlane:
    """`DataPlane` and all `Supports…` but that of metrics, on this machine. All state is in the
    home.
    """

    def __init__(self, home: Home, config: LocalConfig | None = None) -> None:
        self.home = home
        self.config = config or LocalConfig.from_environment(home)

    def check(self) -> PlaneCheck:
        """Test the plane itself: whether it is reachable, what it has, what it lacks."""
        findings = (self._supervisor(), self._database(), self._memory(), self._disk(), _cores())
        return PlaneCheck(
            is_usable=all(finding.is_ok for finding in findings),
            version="local",
            findings=findings,
        )

    def apply(self, *, spec: DeploymentSpec) -> Progress:
        """Do one pass; see `apply.ApplyPass`."""
        with a_full_disk_passes(self.home), deployment_lock(Folder(self.home, spec.ref)):
            return ApplyPass(home=self.home, config=self.config, spec=spec).run()

    def observe(self, *, ref: str) -> Observation:
        """Observe the Deployment without changing it."""
        return Observer(home=self.home, config=self.config, folder=Folder(self.home, ref)).observe()

    def delete(self, *, ref: str) -> Progress:
        """Do one pass; see `deletion.DeletePass`."""
        with a_full_disk_passes(self.home), deployment_lock(Folder(self.home, ref)):
            return DeletePass(home=self.home, config=self.config, ref=ref).run()

    def back_up(self, *, ref: str, path: str) -> DatabaseDump:
        """Write a dump of the metadata database; see `dumping.dump_database`."""
        return dumping.dump_database(
            config=self.config, folder=Folder(self.home, ref), path=Path(path)
        )

    def components(self, *, ref: str) -> tuple[str, ...]:
        """Name the components that have logs, in the order people want to read them."""
        folder = Folder(self.home, ref)
        if read_state(folder) is None:
            return ()
        return log_files.component_names(
            folder, [queue.name for queue in read_wanted(folder).queues]
        )

    def logs(
        self, *, ref: str, component: str, cursor: str = "", contains: str = "", limit: int = 500
    ) -> LogPage:
        """Read a component's log: the last `limit` lines, or those after `cursor`; `contains`
        ignores case.
        """
        if component not in self.components(ref=ref):
            raise Permanent(f"This Deployment has no component called {component}.")
        folder = Folder(self.home, ref)
        limit = max(1, min(limit, MAX_LINES))
        return log_files.read_page(
            folder, component=component, cursor=cursor, contains=contains, limit=limit
        )

    def dag_files(self, *, ref: str) -> tuple[str, ...]:
        """Name the DAG files that have a log of their parsing."""
        return parse_logs.dag_files(Folder(self.home, ref))

    def parse_log(
        self, *, ref: str, file: str, cursor: str = "", contains: str = "", limit: int = 500
    ) -> LogPage:
        """Read the log of a DAG file, as `logs` reads that of a component."""
        return parse_logs.read_page(
            Folder(self.home, ref),
            file=file,
            cursor=cursor,
            contains=contains,
            limit=max(1, min(limit, MAX_LINES)),
        )

    def lock_runtime(self, *, airflow_version: str) -> str:
        """Lock a runtime; see `runtime_locks.lock_runtime`."""
        return runtime_locks.lock_runtime(config=self.config, airflow_version=airflow_version)

    def prepare_runtime(self, *, runtime: RuntimeSpec) -> str:
        """Install a runtime; see `runtimes.ensure_runtime`."""
        return ensure_runtime(home=self.home, config=self.config, runtime=runtime)

    def lock_packages(
        self,
        *,
        spec: DeploymentSpec,
        requirements: tuple[str, ...],
        preferred: Mapping[str, str],
    ) -> PackageLock:
        """Choose the packages that the runtime lacks; see `resolving.resolve`."""
        return resolving.resolve(
            config=self.config,
            runtime=spec.runtime,
            requirements=requirements,
            preferred=preferred,
            indexes=spec.package_indexes,
        )

    def install_packages(self, *, spec: DeploymentSpec) -> InstalledPackages:
        """Make the environment of `spec.packages`, unless the runtime's own will do."""
        if spec.packages is None:
            return InstalledPackages(packages=())
        environment = environments.environment_of(
            home=self.home, config=self.config, runtime=spec.runtime, packages=spec.packages
        )
        environments.make(
            environment,
            config=self.config,
            packages=spec.packages,
            indexes=spec.package_indexes,
        )
        environment.note_use()
        return InstalledPackages(packages=environment.packages())

    def parse_project(self, *, spec: DeploymentSpec) -> ParsedProject:
        """Read the DAG files; see `parsing.parse`."""
        environment = environments.environment_of(
            home=self.home, config=self.config, runtime=spec.runtime, packages=spec.packages
        )
        return parsing.parse(config=self.config, environment=environment, spec=spec)

    def limits(self, *, spec: DeploymentSpec, counts: Mapping[str, int]) -> Mapping[str, Usage]:
        """Return the whole machine, or container, for each component: nothing else limits them."""
        return {name: machine_limits() for name, count in counts.items() if count > 0}

    def scaling_decisions(
        self, *, spec: DeploymentSpec, since: datetime
    ) -> tuple[ScalingDecision, ...]:
        """Return what the keeper decided after `since`."""
        return scaling_log.read(Folder(self.home, spec.ref), since=since)

    def airflow(
        self,
        *,
        spec: DeploymentSpec,
        method: str,
        path: str,
        json: Mapping[str, object] | None = None,
        user: AirflowUser = PORTAL,
    ) -> AirflowResponse:
        """Call that Airflow's REST API (`path` like `/api/v2/dags`) as the portal itself, role
        admin, or as another user.
        """
        state = read_state(Folder(self.home, spec.ref))
        if state is None:
            raise Unreachable("This Deployment is not on this machine yet.")
        return airflow_api.call(
            port=state.api_port,
            ref=spec.ref,
            method=method,
            path=path,
            json=json,
            token=service_token(spec.secrets.jwt_secret, user=user),
        )

    def _supervisor(self) -> Finding:
        is_ok = Supervisor(self.home).is_answering()
        return Finding(
            title="Process supervisor",
            is_ok=is_ok,
            detail="It answers." if is_ok else "It does not answer.",
            remedy="" if is_ok else "Run `make run`: it starts the supervisor of this machine.",
        )

    def _database(self) -> Finding:
        try:
            database.has_database(self.config, "postgres")
        except DataPlaneError as error:
            return Finding(
                title="Database server",
                is_ok=False,
                detail=error.message,
                remedy="Run `make run` again.",
            )
        return Finding(title="Database server", is_ok=True, detail="It answers.")

    def _memory(self) -> Finding:
        available, needed = available_memory_mb(), NEEDED_MB["local"]
        return Finding(
            title="Memory",
            is_ok=available >= needed,
            detail=f"{available} MB are left: {available // NEEDED_MB['celery']} more Deployments.",
            remedy="" if available >= needed else f"A Deployment needs at least {needed} MB.",
        )

    def _disk(self) -> Finding:
        free = free_disk_mb(self.home)
        return Finding(
            title="Disk",
            is_ok=free >= MIN_DISK_MB,
            detail=f"{free} MB are free at {self.home.path}.",
            remedy="" if free >= MIN_DISK_MB else "Free some space: at least 1 GB is needed.",
        )


def _cores() -> Finding:
    count = psutil.cpu_count() or 1
    return Finding(
        title="Processors",
        is_ok=True,
        detail=f"{count} processors share the work of all Deployments.",
    )
