"""Here the cast got its roles by the services, so that the audit log has something to tell."""

import pytest

from apps.access.grants.services import grant
from apps.accounts.models import User
from apps.organizations.models import Organization, Workspace
from tests.conftest import make_user, role


@pytest.fixture
def alice(organization: Organization) -> User:
    user = make_user("Alice")
    grant(actor=None, user=user, role=role("organization", "owner"), on=organization)
    return user


@pytest.fixture
def bob(organization: Organization, workspace: Workspace) -> User:
    user = make_user("Bob")
    grant(actor=None, user=user, role=role("organization", "member"), on=organization)
    grant(actor=None, user=user, role=role("workspace", "member"), on=workspace)
    return user
