from typing import Any

import pytest

from apps.clusters import sealed
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.config import Connection
from apps.organizations.models import Organization
from tests.clusters.material import CANARY, NOW, SERVER, certificate


@pytest.fixture
def remote(organization: Organization) -> Cluster:
    """A Kubernetes cluster that was registered and tested."""
    cluster = Cluster(
        organization=organization,
        kind=Cluster.Kind.KUBERNETES,
        name="eu-1",
        server=SERVER,
        ca_certificate=certificate(),
        credential_kind=Cluster.CredentialKind.TOKEN,
        credential_set_at=NOW,
        version="v1.37.2",
        checked_at=NOW,
        seen_at=NOW,
        check_result={"is_usable": True, "version": "v1.37.2", "findings": []},
    )
    connection = Connection(server=SERVER, ca_certificate=certificate(), token=CANARY)
    sealed.seal_credential(cluster, connection)
    cluster.save(force_insert=True)
    return cluster


@pytest.fixture(autouse=True)
def _fake_plane(plane: Any) -> None:
    """Forget what the fake plane was told by the test before."""
