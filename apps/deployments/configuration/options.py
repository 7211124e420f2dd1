"""What may be chosen for a Deployment on a cluster: one answer for form, validation and API."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.render.sizes import (
    MOST_CODE_BYTES,
    MOST_PLUGIN_BYTES,
    SIZES,
    Most,
    WorkerSize,
)
from apps.dataplane.spec import ExecutorName, WorkerQueue
from apps.deployments.configuration.requested import requested_in
from apps.deployments.configuration.schema import DEFAULT_QUEUE, LOCAL_SIZE, Configuration
from apps.layers.catalogue import settings_of
from apps.layers.queries import layers_above
from apps.layers.resolving import Effective, Said, resolve
from apps.layers.setting import Setting
from apps.organizations.models import Workspace
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
    """An executor; `consequence` describes what choosing it means."""

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
    """Every choice and range there is on one cluster.

    `workers_note` explains the numbers of workers there. `has_drift` is whether others can change
    the portal's objects, so that the handling of drift is a choice. `code_bytes` is how much code
    the data plane takes, packed, and `plugin_bytes` how large plugins of a project may be; None is
    no limit of its own. `has_images` is whether it runs
    images, so that people may name one of their own, `has_nodes` whether queues choose nodes, disk
    and GPUs. `settings` are those that a Deployment may set
    itself, `said` what the layers above it say. `requested` is the quota of each Deployment of the
    workspace by its ref, empty where nothing limits them together.
    """

    runtimes: tuple[RuntimeOption, ...]
    executors: tuple[ExecutorOption, ...]
    sizes: tuple[SizeOption, ...]
    min_workers: Bounds
    max_workers: Bounds
    queues: Bounds
    variables: Bounds
    value_bytes: int
    workers_note: str = ""
    has_drift: bool = False
    code_bytes: int | None = None
    plugin_bytes: int | None = None
    has_images: bool = False
    has_nodes: bool = False
    disk_gib: Bounds = Bounds(floor=10, default=10, ceiling=100)
    gpus: Bounds = Bounds(floor=0, default=0, ceiling=16)
    settings: tuple[Setting, ...] = ()
    said: tuple[Said, ...] = ()
    requested: Mapping[str, Most] = field(default_factory=dict)

    def size(self, name: str) -> SizeOption | None:
        return next((size for size in self.sizes if size.name == name), None)

    def runtime(self, version: str) -> RuntimeOption | None:
        return next((runtime for runtime in self.runtimes if runtime.version == version), None)

    def inherited(self) -> dict[str, Effective]:
        """Return what holds of every setting where the Deployment sets none, by name."""
        return resolve(self.said)

    def effective(self, own: Mapping[str, str]) -> dict[str, Effective]:
        """Return what holds of every setting of a Deployment that sets some itself."""
        return resolve((*self.said, Said(layer="deployment", values=own)))

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


CELERY = ExecutorOption(
    name="celery",
    label="Celery",
    consequence="Worker queues that scale with their tasks. Recommended.",
)
LOCAL = ExecutorOption(
    name="local",
    label="Local",
    consequence="Tasks run next to the scheduler: no worker queues, least memory.",
)
KUBERNETES = ExecutorOption(
    name="kubernetes",
    label="Kubernetes",
    consequence="Each task runs in its own pod: isolated, but slower to start.",
)
EXECUTORS = (CELERY, LOCAL, KUBERNETES)
NO_KEDA = (
    "This cluster has no KEDA: each queue keeps its min workers, at least one, however many tasks "
    "are queued. Max workers has no effect."
)


def deployment_options(
    *, cluster: Cluster, today: date, workspace: Workspace | None = None
) -> DeploymentOptions:
    """Return the choices and ranges for Deployments on a cluster; with the workspace also what the
    layers above them say, which takes a query.
    """
    said = layers_above(cluster=cluster, workspace_id=workspace.pk) if workspace else ()
    of_kind = _on_kubernetes(cluster) if cluster.is_kubernetes else _on_this_machine()
    return DeploymentOptions(
        runtimes=tuple(_runtime_option(runtime, today) for runtime in runtimes()),
        queues=Bounds(floor=1, default=1, ceiling=20),
        variables=Bounds(floor=0, default=0, ceiling=500),
        value_bytes=32 * 1024,
        settings=settings_of(layer="deployment", is_kubernetes=cluster.is_kubernetes),
        said=said,
        requested=requested_in(workspace) if workspace and limits_workspaces(said) else {},
        **of_kind,
    )


def limits_workspaces(said: Iterable[Said]) -> bool:
    """Return whether layers say what all Deployments of a workspace may request together."""
    effective = resolve(said)
    return any(effective[name].value for name in ("workspace_cpu", "workspace_memory"))


def _on_this_machine() -> dict[str, Any]:
    """There is one size: all workers share the machine."""
    bounds = Bounds(floor=1, default=4, ceiling=64)
    return {
        "executors": (CELERY, LOCAL),
        "sizes": (SizeOption(name=LOCAL_SIZE, label="This machine", concurrency=bounds),),
        "min_workers": Bounds(floor=0, default=0, ceiling=10),
        "max_workers": Bounds(floor=1, default=2, ceiling=10),
    }


def _on_kubernetes(cluster: Cluster) -> dict[str, Any]:
    return {
        "executors": (CELERY, KUBERNETES),
        "sizes": tuple(_size_option(size) for size in SIZES),
        "min_workers": Bounds(floor=0, default=0, ceiling=30),
        "max_workers": Bounds(floor=1, default=10, ceiling=30),
        "workers_note": "" if cluster.has_keda else NO_KEDA,
        "has_drift": True,
        "has_images": True,
        "has_nodes": True,
        "code_bytes": MOST_CODE_BYTES,
        "plugin_bytes": MOST_PLUGIN_BYTES,
    }


def _size_option(size: WorkerSize) -> SizeOption:
    return SizeOption(
        name=size.name,
        label=f"{size.name} · {size.cpus} CPU, {size.memory_gib} GiB",
        concurrency=Bounds(floor=1, default=size.usual_tasks, ceiling=size.most_tasks),
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
