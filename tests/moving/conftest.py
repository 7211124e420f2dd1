"""The reconciler of the tests of Deployments, and another workspace to move to."""

from typing import Any

import pytest

from apps.accounts.models import User
from apps.organizations.models import Organization, Workspace
from tests.conftest import make_user, put_role, role
from tests.deployments.conftest import _sign_in_key as _sign_in_key
from tests.deployments.conftest import create as create
from tests.deployments.conftest import created as created
from tests.deployments.conftest import distant as distant
from tests.deployments.conftest import remote as remote
from tests.deployments.conftest import running as running


@pytest.fixture
def other(organization: Organization) -> Workspace:
    return Workspace.objects.create(organization=organization, name="Finance", slug="finance")


@pytest.fixture
def operator(organization: Organization, workspace: Workspace) -> User:
    """May do everything with Deployments of the one workspace, and sees no other."""
    user = make_user("Olga")
    put_role(user, role("organization", "member"), organization)
    put_role(user, role("workspace", "operator"), workspace)
    return user


@pytest.fixture
def browser(alice: User, client_of: Any) -> Any:
    return client_of(alice)
