from typing import Any

import pytest

from apps.clusters.models import Cluster
from apps.organizations.models import Organization
from tests.clusters.material import registered


@pytest.fixture
def remote(organization: Organization) -> Cluster:
    """A Kubernetes cluster that was registered and tested."""
    return registered(organization)


@pytest.fixture(autouse=True)
def _fake_plane(plane: Any) -> None:
    """Forget what the fake plane was told by the test before."""
