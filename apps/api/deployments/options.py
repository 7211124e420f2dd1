"""What may be chosen for a Deployment, as clients ask for it before they create or change one."""

from datetime import UTC, datetime, time
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.own_settings import machine_of
from apps.api.deployments.shapes import (
    QUOTA_CPU,
    QUOTA_MEMORY,
    TASK_CPU,
    TASK_MEMORY,
)
from apps.api.places.clusters import clusters_of_caller
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.shapes import InOrganization, Shape
from apps.clusters.models import Cluster
from apps.core.public_ids import number_of
from apps.dataplane.kubernetes.render.sizes import SCHEDULER, SIZES, cpus, mebibytes
from apps.deployments.configuration.options import (
    Bounds,
    DeploymentOptions,
    SizeOption,
    deployment_options,
)
from apps.deployments.models import Deployment
from apps.layers.kinds.amounts import SizeKind
from apps.organizations.models import Workspace
from apps.runtimes.catalogue import offered_runtimes

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])
_SIZES = {size.name: size for size in SIZES}


class Range(Shape):
    floor: float
    default: float
    ceiling: float


class Amounts(Shape):
    floor: str
    default: str
    ceiling: str


class Resources(Shape):
    cpu: Amounts
    memory: Amounts


class Quotas(Shape):
    default_pod_size: Resources
    resource_quota: Resources


class MachineSpec(Shape):
    cpu: str
    memory: str
    concurrency: float | None = None
    ephemeral_storage: str | None = None


class SchedulerMachine(Shape):
    name: str
    spec: MachineSpec


class WorkerMachine(Shape):
    name: str
    concurrency: Range
    spec: MachineSpec


class QueueRanges(Shape):
    min_workers: Range
    max_workers: Range
    worker_concurrency: Range


class RuntimeRelease(Shape):
    version: str
    airflow_version: str
    channel: str = "stable"
    release_date: datetime
    airflow_database_migration: bool = False
    stellar_database_migration: bool = False


class IdentityOption(Shape):
    label: str
    role: str


class Options(Shape):
    executors: list[str]
    resource_quotas: Quotas
    runtime_releases: list[RuntimeRelease]
    scheduler_machines: list[SchedulerMachine]
    worker_machines: list[WorkerMachine]
    worker_queues: QueueRanges
    workload_identity_options: list[IdentityOption]


class Region(Shape):
    name: str


class Instance(Shape):
    name: str = ""
    cpu: int = 0
    memory: str = ""


class ClusterOptions(Shape):
    """Where a Deployment may run that names no cluster: one place, whatever the provider."""

    provider: str
    regions: list[Region]
    default_region: Region
    database_instances: list[Instance] = []
    default_database_instance: Instance = Instance()
    default_node_instance: Instance = Instance()
    node_instances: list[Instance] = []
    node_count_default: int = 0
    node_count_max: int = 0
    node_count_min: int = 0
    default_vpc_subnet_range: str = ""


class ClusterOptionsQuery(Shape):
    provider: str = Field(default="", max_length=20)
    type: str = ""


class OptionsQuery(Shape):
    deployment_id: str = ""
    deployment_type: str = ""
    executor: str = ""
    cloud_provider: str = ""


@router.get(
    "/organizations/{organizationId}/deployment-options",
    auth=in_organization(),
    response=Options,
    operation_id="GetDeploymentOptions",
    summary="List what may be chosen for a Deployment",
)
def get_options(request: Call, at: Path[InOrganization], asked: Query[OptionsQuery]) -> Any:
    cluster, workspace = _place(request, asked)
    today = timezone.now().date()
    options = deployment_options(cluster=cluster, today=today, workspace=workspace)
    return Options(
        executors=[executor.name.upper() for executor in options.executors],
        resource_quotas=Quotas(
            default_pod_size=_resources(TASK_CPU, TASK_MEMORY),
            resource_quota=_resources(QUOTA_CPU, QUOTA_MEMORY),
        ),
        runtime_releases=[
            RuntimeRelease(
                version=runtime.version,
                airflow_version=runtime.airflow_version,
                release_date=datetime.combine(runtime.released, time(), UTC),
            )
            for runtime in offered_runtimes(today=today)
        ],
        scheduler_machines=_schedulers(cluster),
        worker_machines=[_machine(size) for size in options.sizes],
        worker_queues=QueueRanges(
            min_workers=_range(options.min_workers),
            max_workers=_range(options.max_workers),
            worker_concurrency=_range(options.sizes[0].concurrency),
        ),
        workload_identity_options=_identities(options),
    )


@router.get(
    "/organizations/{organizationId}/cluster-options",
    auth=in_organization(),
    response=list[ClusterOptions],
    operation_id="GetClusterOptions",
    summary="List where Deployments without a cluster of their own may run",
)
def get_cluster_options(
    request: Call, at: Path[InOrganization], asked: Query[ClusterOptionsQuery]
) -> Any:
    here = Region(name=Cluster.Kind.LOCAL)
    return [ClusterOptions(provider=asked.provider, regions=[here], default_region=here)]


def _place(request: Call, asked: OptionsQuery) -> tuple[Cluster, Workspace | None]:
    """Choose whose options are meant: a Deployment's, or those of the kind of cluster."""
    if asked.deployment_id:
        seen = Deployment.objects.visible_to(request.caller.user)
        mine = seen.filter(workspace__organization=request.organization)
        mine = mine.select_related("cluster", "workspace")
        found = or_404(mine.filter(pk=number_of("deployment", asked.deployment_id)).first())
        return found.cluster, found.workspace
    kind = Cluster.Kind.KUBERNETES if asked.deployment_type == "DEDICATED" else Cluster.Kind.LOCAL
    usable = sorted(clusters_of_caller(request), key=lambda one: (one.kind != kind, one.pk))
    none = Cluster(kind=kind, organization=request.organization)
    return (usable[0] if usable else none), None


def _identities(options: DeploymentOptions) -> list[IdentityOption]:
    """List what may be chosen by name; with a star there are more."""
    lines = options.inherited()["allowed_workload_identities"].value.splitlines()
    exact = [line.partition(" ") for line in lines if "*" not in line]
    return [IdentityOption(label=f"{name} ({kind})", role=name) for kind, _, name in exact]


def _resources(cpu: str, memory: str) -> Resources:
    return Resources(
        cpu=Amounts(floor=cpu, default=cpu, ceiling=cpu),
        memory=Amounts(floor=memory, default=memory, ceiling=memory),
    )


def _schedulers(cluster: Cluster) -> list[SchedulerMachine]:
    """List the sizes of schedulers. On this machine there is one: all share it."""
    small = _scheduler("SMALL", SCHEDULER.most_cpu_millis, SCHEDULER.memory_mib)
    if not cluster.is_kubernetes:
        return [small]
    others = [
        _scheduler(name.upper().replace("-", "_"), size.cpu_millis, size.memory_mib)
        for name, size in SizeKind.NAMED.items()
        if size
    ]
    return [small, *others]


def _scheduler(name: str, millis: int, memory_mib: int) -> SchedulerMachine:
    return SchedulerMachine(
        name=name, spec=MachineSpec(cpu=cpus(millis), memory=mebibytes(memory_mib))
    )


def _machine(option: SizeOption) -> WorkerMachine:
    size = _SIZES.get(option.name)
    spec = MachineSpec(
        cpu=str(size.cpus) if size else "1",
        memory=f"{size.memory_gib}Gi" if size else "2Gi",
        concurrency=option.concurrency.default,
    )
    return WorkerMachine(
        name=machine_of(option.name), concurrency=_range(option.concurrency), spec=spec
    )


def _range(bounds: Bounds) -> Range:
    return Range(floor=bounds.floor, default=bounds.default, ceiling=bounds.ceiling)
