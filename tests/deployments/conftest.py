"""A Deployment made through the services, and a reconciler driven by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.connections import sealed
from apps.clusters.models import Cluster
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.schema import Configuration
from apps.deployments.editing.services import create_deployment
from apps.deployments.models import Deployment, Operation
from apps.deployments.reconciling.reconciler import reconcile
from apps.organizations.models import Organization, Workspace
from tests.clusters.material import SERVER, certificate

QUEUE = WorkerQueue(name="default", size="local", concurrency=4, min_workers=1, max_workers=2)
FAR_QUEUE = replace(QUEUE, size="A5")
CONFIGURATION = Configuration(description="", runtime="3.3.2-1", executor="celery", queues=(QUEUE,))
FAR = replace(CONFIGURATION, queues=(FAR_QUEUE,))


@pytest.fixture(autouse=True)
def _sign_in_key(settings: Any) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    settings.AIRFLOW_SIGN_IN_KEY = pem.decode()


@pytest.fixture
def create(
    alice: User, workspace: Workspace, cluster: Cluster, plane: type[FakePlane]
) -> Callable[..., Operation]:
    def make(name: str = "etl-prod", configuration: Configuration = CONFIGURATION) -> Operation:
        return create_deployment(
            actor=alice,
            workspace=workspace,
            cluster=cluster,
            name=name,
            configuration=configuration,
        )

    return make


@pytest.fixture
def created(create: Callable[..., Operation]) -> Deployment:
    return create().deployment


@pytest.fixture
def running(created: Deployment) -> Deployment:
    """A Deployment whose first revision is applied."""
    return drive(created)


@pytest.fixture
def remote(organization: Organization) -> Cluster:
    """A Kubernetes cluster that answers."""
    cluster = Cluster(
        organization=organization,
        kind=Cluster.Kind.KUBERNETES,
        name="eu-1",
        server=SERVER,
        ca_certificate=certificate(),
        seen_at=timezone.now(),
        shard=3,
    )
    connection = Connection(server=SERVER, ca_certificate=certificate(), token="t")
    sealed.seal_credential(cluster, connection)
    cluster.save(force_insert=True)
    return cluster


@pytest.fixture
def distant(
    alice: User, workspace: Workspace, remote: Cluster, plane: type[FakePlane]
) -> Callable[..., Deployment]:
    """Make Deployments on the Kubernetes cluster whose first revision is applied."""

    def make(name: str = "etl-far") -> Deployment:
        operation = create_deployment(
            actor=alice, workspace=workspace, cluster=remote, name=name, configuration=FAR
        )
        return drive(operation.deployment)

    return make


def drive(deployment: Deployment, passes: int = 1) -> Deployment:
    """Run passes of the reconciler as if they were due, and return the row as it is then."""
    for _ in range(passes):
        Deployment.objects.filter(pk=deployment.pk).update(next_reconcile_at=Now())
        reconcile(deployment_id=deployment.pk)
    return Deployment.objects.select_related("wanted", "applied").get(pk=deployment.pk)
