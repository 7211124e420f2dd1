"""A Deployment on the wire.

Every Deployment has the type DEDICATED: it runs on a cluster of its organization, and the portal's
own machine is one of these. What the portal does not have has the value that says so, and is
refused where a client asks for another. Of settings it has what the Deployment sets itself; what
holds is another operation.
"""

from datetime import datetime
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from apps.airflow_access.tickets import airflow_url
from apps.api.deployments.columns import ShownDeployment, ShownRevision
from apps.api.deployments.own_settings import (
    identity_name_of,
    is_highly_available,
    machine_of,
    scheduler_memory_and_cpu,
    scheduler_replicas_of,
    scheduler_size_of,
)
from apps.api.hibernation import ScalingSpec, ScalingStatus, scaling_spec, scaling_status
from apps.api.wire.shapes import InOrganization, Listing, Profile, Shape, profile_of
from apps.core.public_ids import part_id, public_id
from apps.dataplane.kubernetes.render.sizes import SIZES, TASK, cpus, mebibytes
from apps.dataplane.spec import WorkerQueue
from apps.deployments.badge import RevisionSeen, display_status
from apps.deployments.configuration.schema import DEFAULT_QUEUE, Configuration, Variable
from apps.deployments.models import Deployment, Revision
from apps.layers.kinds.labels import tolerations_text
from apps.own_images.references import pinned_name
from apps.runtimes.catalogue import runtime_called

TASK_CPU, TASK_MEMORY = cpus(TASK.most_cpu_millis), mebibytes(TASK.memory_mib)
# Nothing limits a Deployment as a whole here.
QUOTA_CPU, QUOTA_MEMORY = "10", "20Gi"
STATUS = {
    "creating": "CREATING",
    "deploying": "DEPLOYING",
    "updating": "DEPLOYING",
    "starting": "DEPLOYING",
    "deleting": "DEPLOYING",
    "healthy": "HEALTHY",
    # Airflow is well; the reason says that a DAG file is not.
    "degraded": "HEALTHY",
    "hibernating": "HIBERNATING",
    "stopping": "DEPLOYING",
    "unreachable": "UNKNOWN",
    "unknown": "UNKNOWN",
    "deleted": "UNKNOWN",
}
CHECKING = "What was deployed last needs packages, which are being chosen and installed."
WAITING = "It waits until the deploy before it has ended."
_SIZES = {size.name: size for size in SIZES}


class AtDeployment(InOrganization):
    deployment_id: str


class VariableShape(Shape):
    """The value of a secret is never sent: it is "" here."""

    key: str
    value: str
    is_secret: bool
    updated_at: datetime


class QueueShape(Shape):
    id: str
    name: str
    astro_machine: str
    is_default: bool
    min_worker_count: int
    max_worker_count: int
    worker_concurrency: int
    pod_cpu: str
    pod_memory: str
    pod_ephemeral_storage: str
    node_selector: dict[str, str]
    tolerations: list[str]
    gpus: int


class DeploymentShape(Shape):
    id: str
    name: str
    description: str
    organization_id: str
    workspace_id: str
    workspace_name: str
    cluster_id: str
    cluster_name: str
    type: str = "DEDICATED"
    cloud_provider: str
    region: str
    namespace: str
    status: str
    status_reason: str
    runtime_version: str
    astro_runtime_version: str
    airflow_version: str
    executor: str
    scheduler_size: str
    scheduler_cpu: str
    scheduler_memory: str
    scheduler_replicas: int
    default_task_pod_cpu: str = TASK_CPU
    default_task_pod_memory: str = TASK_MEMORY
    resource_quota_cpu: str = QUOTA_CPU
    resource_quota_memory: str = QUOTA_MEMORY
    is_cicd_enforced: bool = False
    is_dag_deploy_enabled: bool = True
    is_development_mode: bool
    is_high_availability: bool
    workload_identity: str | None = None
    effective_workload_identity: str | None = None
    settings: dict[str, str]
    corrects_drift: bool
    contact_emails: list[str] = []
    environment_variables: list[VariableShape]
    worker_queues: list[QueueShape]
    image_repository: str = ""
    image_tag: str
    dag_tarball_version: str | None = None
    desired_dag_tarball_version: str | None = None
    api_url: str
    ui_url: str
    web_server_url: str
    web_server_airflow_api_url: str
    web_server_ingress_hostname: str
    web_server_cpu: str = ""
    web_server_memory: str = ""
    web_server_replicas: int = 1
    scaling_spec: ScalingSpec | None = None
    scaling_status: ScalingStatus | None = None
    created_at: datetime
    updated_at: datetime
    created_by: Profile
    updated_by: Profile


class DeploymentList(Listing):
    deployments: list[DeploymentShape]


def _code_on_its_way(deployment: Deployment | ShownDeployment) -> str:
    """Return what is between a delivery and the Deployment, empty where there is nothing."""
    if getattr(deployment, "is_code_checked", False):
        return CHECKING
    return WAITING if getattr(deployment, "is_code_waiting", False) else ""


def deployment_shape(deployment: Deployment | ShownDeployment) -> DeploymentShape:
    """Describe a Deployment. No query for a row of a list, nor for one of the model where
    `wanted__created_by`, `applied`, `created_by`, `cluster` and `workspace` are loaded, and
    `deliveries.queries.with_delivery` has added its columns.
    """
    wanted, applied = deployment.wanted, deployment.applied
    if wanted is None:
        raise ValueError("A Deployment has a revision from its first moment.")
    configuration = wanted.configuration
    status = display_status(deployment)
    on_its_way = _code_on_its_way(deployment)
    cluster, workspace = deployment.cluster, deployment.workspace
    is_kubernetes = cluster.is_kubernetes
    deployment_id = public_id("deployment", deployment.pk)
    airflow = airflow_url(deployment)
    repository, tag = _image_of(configuration)
    scheduler_memory, scheduler_cpu = scheduler_memory_and_cpu(configuration)
    is_doubled = is_highly_available(configuration)
    identity = identity_name_of(configuration)
    airflow_api = f"{settings.PORTAL_URL}/airflow/{deployment.ref}/api/v2"
    return DeploymentShape(
        id=deployment_id,
        name=deployment.name,
        description=configuration.description,
        organization_id=public_id("organization", workspace.organization_id),
        workspace_id=public_id("workspace", workspace.pk),
        workspace_name=workspace.name,
        cluster_id=public_id("cluster", cluster.pk),
        cluster_name=cluster.name,
        cloud_provider=cluster.provider,
        region=cluster.region,
        namespace=deployment.namespace or deployment.ref,
        status="DEPLOYING" if on_its_way else STATUS.get(status.key, "UNHEALTHY"),
        status_reason=on_its_way or status.message,
        is_cicd_enforced=bool(getattr(deployment, "is_cicd_enforced", False)),
        runtime_version=configuration.runtime,
        astro_runtime_version=configuration.runtime,
        airflow_version=_airflow_version(configuration.runtime),
        executor=configuration.executor.upper(),
        corrects_drift=configuration.corrects_drift,
        scheduler_size=scheduler_size_of(configuration),
        scheduler_cpu=cpus(scheduler_cpu) if is_kubernetes else "",
        scheduler_memory=mebibytes(scheduler_memory) if is_kubernetes else "",
        scheduler_replicas=scheduler_replicas_of(configuration),
        is_high_availability=is_doubled,
        is_development_mode=deployment.is_development,
        scaling_spec=scaling_spec(deployment),
        scaling_status=scaling_status(deployment),
        workload_identity=identity or None,
        effective_workload_identity=identity or None,
        settings=configuration.own_settings,
        environment_variables=variable_shapes(configuration, wanted),
        worker_queues=[_queue_shape(deployment_id, queue) for queue in configuration.queues],
        image_repository=repository,
        image_tag=tag or f"revision-{wanted.number}",
        dag_tarball_version=_code_version(applied),
        desired_dag_tarball_version=_code_version(wanted),
        api_url=airflow_api,
        ui_url=settings.PORTAL_URL + _page_of(deployment.ref),
        web_server_url=airflow,
        # Clients put https:// before it, and one of them whatever it begins with.
        web_server_airflow_api_url=airflow_api.removeprefix("https://"),
        web_server_ingress_hostname=_host_of(airflow.rpartition(deployment.ref)[0]),
        created_at=deployment.created_at,
        updated_at=wanted.created_at,
        created_by=profile_of(deployment.created_by),
        updated_by=profile_of(wanted.created_by),
    )


def variable_shapes(
    configuration: Configuration, revision: Revision | ShownRevision
) -> list[VariableShape]:
    """Describe the environment variables; no secret is among the values."""
    return [_variable_shape(one, revision.created_at) for one in configuration.variables]


def _variable_shape(variable: Variable, at: datetime) -> VariableShape:
    return VariableShape(
        key=variable.key,
        value="" if variable.is_secret else variable.value,
        is_secret=variable.is_secret,
        updated_at=datetime.fromisoformat(variable.set_at) if variable.set_at else at,
    )


def _queue_shape(deployment_id: str, queue: WorkerQueue) -> QueueShape:
    size = _SIZES.get(queue.size)
    return QueueShape(
        id=part_id(deployment_id, queue.name),
        name=queue.name,
        astro_machine=machine_of(queue.size),
        is_default=queue.name == DEFAULT_QUEUE,
        min_worker_count=queue.min_workers,
        max_worker_count=queue.max_workers,
        worker_concurrency=queue.concurrency,
        pod_cpu=str(size.cpus) if size else "",
        pod_memory=f"{size.memory_gib}Gi" if size else "",
        pod_ephemeral_storage=f"{queue.disk_gib}Gi" if size else "",
        node_selector=dict(queue.node_selector),
        tolerations=tolerations_text(queue.tolerations).splitlines() if queue.tolerations else [],
        gpus=queue.gpus,
    )


def _image_of(configuration: Configuration) -> tuple[str, str]:
    """Return repository and digest of an image of people's own; empty for that of the runtime."""
    if configuration.image is None:
        return "", ""
    name, _, digest = pinned_name(configuration.image.name, configuration.image.digest).partition(
        "@"
    )
    return name, digest


def _code_version(revision: RevisionSeen | None) -> str | None:
    return revision.code_digest[:24] if revision and revision.code_digest else None


@lru_cache(maxsize=4096)
def _page_of(ref: str) -> str:
    return reverse("deployments:overview", args=[ref])


@lru_cache(maxsize=64)
def _host_of(origin: str) -> str:
    return urlsplit(origin).hostname or ""


@lru_cache(maxsize=64)
def _airflow_version(runtime: str) -> str:
    try:
        return runtime_called(runtime).airflow_version
    except KeyError:
        return runtime
