from typing import Any

import pytest

from apps.accounts.services import issue_sign_in_link
from apps.clusters.models import Cluster
from apps.portal.services import set_up

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("has_local_plane", [True, False])
def test_a_portal_on_kubernetes_offers_no_machine_of_its_own(
    settings: Any, has_local_plane: bool
) -> None:
    settings.HAS_LOCAL_PLANE = has_local_plane

    set_up(
        token=issue_sign_in_link(user=None),
        email="ada@example.org",
        name="Ada",
        password="a long enough password",
        organization_name="Example",
        workspace_name="Data",
    )

    assert Cluster.objects.filter(kind=Cluster.Kind.LOCAL).exists() is has_local_plane
