"""The one protocol that every data plane implements, and the contract suite tests."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from apps.dataplane.airflow_token import PORTAL, AirflowUser
from apps.dataplane.project import InstalledPackages, PackageLock, ParsedProject
from apps.dataplane.spec import DeploymentSpec, DumpTarget, RuntimeSpec
from apps.dataplane.status import (
    AirflowResponse,
    DatabaseDump,
    Drift,
    Finding,
    LiveMetrics,
    LogPage,
    Observation,
    PlaneCheck,
    Progress,
    ScalingDecision,
    SentDump,
    Usage,
)


class DataPlane(Protocol):
    """A place that runs Deployments.

    Every method is short: none waits for a rollout. `apply` and `delete` do what can be done now,
    return their progress, and are called again until `is_done`; both are safe to repeat and safe to
    interrupt at any point. Errors are `Temporary`, `Permanent` or `Unreachable` from
    `apps.dataplane.errors`, nothing else.
    """

    def check(self) -> PlaneCheck:
        """Test the plane itself: whether it is reachable, what it has, what it lacks. What is wrong
        is a finding of the result.
        """
        ...

    def apply(self, *, spec: DeploymentSpec) -> Progress:
        """Move the Deployment one pass towards `spec`, and restart only the components that `spec`
        changes.

        Returns the steps so far; `retry_after_seconds` is when the next pass is worth it. Raises
        Permanent where a person must change something.
        """
        ...

    def observe(self, *, ref: str) -> Observation:
        """Observe the Deployment without changing it. One that is not on the plane is an
        Observation with `exists` False, a broken one is no error. Raises Unreachable.
        """
        ...

    def delete(self, *, ref: str) -> Progress:
        """Move one pass towards leaving no process, database or file. A Deployment that is not on
        the plane is deleted already.
        """
        ...

    def components(self, *, ref: str) -> tuple[str, ...]:
        """Name the components that have logs, in the order people want to read them; none for a
        Deployment that is not on the plane.
        """
        ...

    def logs(
        self, *, ref: str, component: str, cursor: str = "", contains: str = "", limit: int = 500
    ) -> LogPage:
        """Read a component's log: the last `limit` lines, or those after `cursor`, which comes from
        an earlier LogPage. `contains` filters lines, ignoring case. Raises Permanent for an unknown
        component.
        """
        ...

    def airflow(
        self,
        *,
        spec: DeploymentSpec,
        method: str,
        path: str,
        json: Mapping[str, object] | None = None,
        user: AirflowUser = PORTAL,
    ) -> AirflowResponse:
        """Call that Airflow's REST API (`path` like `/api/v2/dags`) as the portal itself, with role
        admin, or as someone else. Any HTTP status is a response. Raises Unreachable when there is
        none.
        """
        ...


@runtime_checkable
class SupportsBulkObserve(Protocol):
    """A data plane that can observe all its Deployments at once, at the price of a few."""

    def reach(self) -> None:
        """Send one cheap request that needs the credential: at most 2 s to connect, 5 s in all, no
        retry. Raises Unreachable.
        """
        ...

    def survey(self) -> Iterator[tuple[str, Observation]]:
        """Yield ref and observation of every Deployment of this portal on the plane."""
        ...

    def drift(self, *, spec: DeploymentSpec) -> tuple[Drift, ...]:
        """Return which objects of the Deployment differ from `spec`, and in which fields. Changes
        nothing.
        """
        ...

    def mark_busy_workers(self, *, spec: DeploymentSpec) -> int:
        """Mark the busy workers, so that idle ones are removed first on scale-down.

        Returns how many marks were changed.
        """
        ...


@runtime_checkable
class SupportsParseLogs(Protocol):
    """A data plane that can read what DAG files print while they are parsed."""

    def dag_files(self, *, ref: str) -> tuple[str, ...]:
        """Name the DAG files that have such a log, by their paths in the dags folder: 1,000 at
        most, none for a Deployment that is not on the plane.
        """
        ...

    def parse_log(
        self, *, ref: str, file: str, cursor: str = "", contains: str = "", limit: int = 500
    ) -> LogPage:
        """Read the log of a DAG file, as `DataPlane.logs` reads that of a component. Raises
        Permanent for a file that `dag_files` does not name.
        """
        ...


@runtime_checkable
class SupportsProjects(Protocol):
    """A data plane that installs packages of a project, and can read its DAG files before it is
    used. These methods take up to minutes: they belong into a job. Nothing that runs is changed.
    """

    def lock_packages(
        self,
        *,
        spec: DeploymentSpec,
        requirements: tuple[str, ...],
        preferred: Mapping[str, str],
    ) -> PackageLock:
        """Choose a version of every package that the requirements need beside `spec.runtime`.
        Requirements are PEP 508 texts, with `--hash` options perhaps; `preferred` are versions by
        name, which are taken where they fit. Raises Permanent with what has to change in the
        requirements, Temporary when the package index does not answer.
        """
        ...

    def install_packages(self, *, spec: DeploymentSpec) -> InstalledPackages:
        """Install `spec.packages` beside `spec.runtime`, and return them with sizes. Raises as
        `lock_packages`.
        """
        ...

    def parse_project(self, *, spec: DeploymentSpec) -> ParsedProject:
        """Read the DAG files of `spec.code`, if any, and have Airflow check the options that are
        set, with the runtime and the packages of `spec`, which are installed. Raises Permanent when
        Airflow does not start with them.
        """
        ...


@runtime_checkable
class SupportsBackups(Protocol):
    """A data plane that backs up metadata databases, and restores what `spec.restore` names."""

    def back_up(self, *, ref: str, path: str) -> DatabaseDump:
        """Write a dump of the metadata database to a new file at `path`, which appears when it is
        complete. Takes up to hours, so it belongs into a job; Airflow runs on. Raises Permanent
        where a person must act, such as a disk without room.
        """
        ...


@runtime_checkable
class SupportsBackupsToBuckets(Protocol):
    """A data plane that sends backups to a bucket itself, and restores from there what
    `spec.restore` names.
    """

    def back_up_to(self, *, spec: DeploymentSpec, target: DumpTarget) -> SentDump:
        """Dump the metadata database of a Deployment that runs as `spec` into the parts of
        `target`. Takes up to an hour, so it belongs into a job; Airflow runs on. Raises Permanent
        where a person must act, Temporary where it is to be tried again.
        """
        ...


@runtime_checkable
class SupportsReleases(Protocol):
    """A data plane that can lock a runtime for an Airflow that its package index publishes."""

    def lock_runtime(self, *, airflow_version: str) -> str:
        """Choose a version with hashes of every package of an Airflow and its usual extras, and
        return the lock. Takes up to minutes. Raises Permanent when there is no such set, Temporary
        when the package index does not answer.
        """
        ...

    def prepare_runtime(self, *, runtime: RuntimeSpec) -> str:
        """Install a runtime beside those that are there, one step at a time: return "" when it is
        ready, else a message about its progress. Raises Permanent when it cannot be installed.
        """
        ...


@runtime_checkable
class SupportsMetrics(Protocol):
    """A data plane whose observations leave out what changes by the second."""

    def live_metrics(self, *, spec: DeploymentSpec) -> LiveMetrics:
        """Measure a Deployment, within seconds. Raises no data plane errors: what is not reported
        is None, with the reason.
        """
        ...


@runtime_checkable
class SupportsStorageTest(Protocol):
    """A data plane whose storage can be tried."""

    def try_storage(self) -> tuple[Finding, ...]:
        """Let pods write to volumes as Airflow does, remove them, and return what was found. Takes
        up to three minutes, so it belongs into a job. Nothing is raised.
        """
        ...


@runtime_checkable
class SupportsLimits(Protocol):
    """A data plane that knows how much CPU and memory a component may use."""

    def limits(self, *, spec: DeploymentSpec, counts: Mapping[str, int]) -> Mapping[str, Usage]:
        """Return the most that the processes or pods of each component may use together; `counts`
        are how many of them run, by component. Those without a limit are missing.
        """
        ...


@runtime_checkable
class SupportsQuotas(Protocol):
    """A data plane that may have quotas, which refuse pods of tasks."""

    def full_quota(self, *, ref: str) -> str:
        """Return which quota has no room for the pod of one more task, and for what, in one
        sentence; "" where all have. Within seconds. Raises DataPlaneError.
        """
        ...


@runtime_checkable
class SupportsScalingHistory(Protocol):
    """A data plane that tells why it changed the number of workers."""

    def scaling_decisions(
        self, *, spec: DeploymentSpec, since: datetime
    ) -> tuple[ScalingDecision, ...]:
        """Return what was decided after `since`, the oldest first, 500 at most. A plane that keeps
        no record returns what it decides now. Raises no data plane errors: what is not reported is
        missing.
        """
        ...


@runtime_checkable
class SupportsImageRemoval(Protocol):
    """A data plane whose registry keeps images with packages until they are removed."""

    def remove_image(self, *, image: str) -> None:
        """Remove an image, named `repository@digest`; one that is gone already is removed. Raises
        Permanent where the registry does not let the portal do it, and Temporary when it does not
        answer.
        """
        ...


@runtime_checkable
class SupportsImageCopies(Protocol):
    """A data plane whose registry takes images with packages over from that of another one."""

    def copy_image(self, *, image: str, source: DataPlane) -> str:
        """Copy an image, named `repository@digest`, from the registry of `source`, and return its
        name in this one's: the digest is the same. Takes up to ten minutes, so it belongs into a
        job. Raises Permanent where a person must act, Temporary when a registry does not answer.
        """
        ...
