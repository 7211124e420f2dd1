"""What may be chosen for a Deployment on a cluster: one answer for form, validation and API."""

from dataclasses import dataclass
from datetime import date

from apps.clusters.models import Cluster
from apps.deployments.configuration import DEFAULT_QUEUE, Configuration, ExecutorName, WorkerQueue
from apps.runtimes.catalogue import Runtime, runtimes


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A whole number's least, usual and greatest value."""

    floor: int
    default: int
    ceiling: int


@dataclass(frozen=True, kw_only=True)
class SizeOption:
    """A worker size. `concurrency` is how many tasks one worker of it may run at once."""

    name: str
    label: str
    concurrency: Bounds


@dataclass(frozen=True, kw_only=True)
class ExecutorOption:
    """A way to run tasks; `consequence` says what choosing it means."""

    name: ExecutorName
    label: str
    consequence: str


@dataclass(frozen=True, kw_only=True)
class RuntimeOption:
    """A runtime of the catalogue. One that is no longer offered stays valid where it is in use."""

    version: str
    airflow_version: str
    label: str
    is_offered: bool
    note: str


@dataclass(frozen=True, kw_only=True)
class DeploymentOptions:
    """Every choice and range there is on one cluster."""

    runtimes: tuple[RuntimeOption, ...]
    executors: tuple[ExecutorOption, ...]
    sizes: tuple[SizeOption, ...]
    min_workers: Bounds
    max_workers: Bounds
    queues: Bounds
    variables: Bounds
    value_bytes: int

    def size(self, name: str) -> SizeOption | None:
        return next((size for size in self.sizes if size.name == name), None)

    def runtime(self, version: str) -> RuntimeOption | None:
        return next((runtime for runtime in self.runtimes if runtime.version == version), None)

    def new_queue(self, name: str) -> WorkerQueue:
        """Return a worker queue with the usual values."""
        return WorkerQueue(
            name=name,
            size=self.sizes[0].name,
            concurrency=self.sizes[0].concurrency.default,
            min_workers=self.min_workers.default,
            max_workers=self.max_workers.default,
        )

    def new_configuration(self) -> Configuration:
        """Return what the form of a new Deployment starts with."""
        newest = next(runtime for runtime in self.runtimes if runtime.is_offered)
        return Configuration(
            description="",
            runtime=newest.version,
            executor="celery",
            queues=(self.new_queue(DEFAULT_QUEUE),),
        )


EXECUTORS = (
    ExecutorOption(
        name="celery",
        label="Celery",
        consequence="Worker queues that grow and shrink with their tasks. Usually right.",
    ),
    ExecutorOption(
        name="local",
        label="Local",
        consequence="Tasks run beside the scheduler: no worker queues, and least memory.",
    ),
)


def deployment_options(*, cluster: Cluster, today: date) -> DeploymentOptions:
    """Return the choices and ranges for Deployments on a cluster.

    There is one kind of cluster so far, and one size: its workers share one machine.
    """
    return DeploymentOptions(
        runtimes=tuple(_runtime_option(runtime, today) for runtime in runtimes()),
        executors=EXECUTORS,
        sizes=(
            SizeOption(
                name="local",
                label="This machine",
                concurrency=Bounds(floor=1, default=4, ceiling=64),
            ),
        ),
        min_workers=Bounds(floor=0, default=0, ceiling=10),
        max_workers=Bounds(floor=1, default=2, ceiling=10),
        queues=Bounds(floor=1, default=1, ceiling=20),
        variables=Bounds(floor=0, default=0, ceiling=500),
        value_bytes=32 * 1024,
    )


def _runtime_option(runtime: Runtime, today: date) -> RuntimeOption:
    return RuntimeOption(
        version=runtime.version,
        airflow_version=runtime.airflow_version,
        label=f"{runtime.version} (Airflow {runtime.airflow_version})",
        is_offered=runtime.is_offered(today=today),
        note=_runtime_note(runtime, today),
    )


def _runtime_note(runtime: Runtime, today: date) -> str:
    if runtime.yanked:
        return f"Withdrawn: {runtime.yanked}"
    until = f"{runtime.supported_until.day} {runtime.supported_until:%b %Y}"
    if not runtime.is_supported(today=today):
        return f"Support ended on {until}."
    return f"Supported until {until}."
