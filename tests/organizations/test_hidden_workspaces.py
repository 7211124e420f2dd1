"""A plain member of the organization learns nothing of workspaces that are closed to them."""

import pytest

from apps.access.grants.services import grant, grant_with_entry
from apps.organizations.invitations.services import invite
from apps.organizations.models import Workspace
from tests.conftest import make_user, role


@pytest.fixture
def hidden(organization):
    return Workspace.objects.create(organization=organization, name="Hush hush", slug="hush")


@pytest.fixture
def dave(hidden, workspace):
    dave = make_user("Dave")
    grant_with_entry(actor=None, user=dave, role=role("workspace", "author"), on=hidden)
    grant(actor=None, user=dave, role=role("workspace", "member"), on=workspace)
    return dave


def test_roles_in_them_are_shown_to_those_only_who_see_them(alice, bob, dave, client_of):
    path = f"/o/nordhavn/members/{dave.pk}/"

    assert b"on Hush hush" in client_of(alice).get(path).content
    seen = client_of(bob).get(path).content
    assert b"Hush hush" not in seen
    assert b"on Warehouse" in seen


def test_invitations_to_them_are_shown_to_those_only_who_see_them(
    alice, bob, hidden, organization, workspace, client_of
):
    for place, email in ((hidden, "one@example.org"), (workspace, "two@example.org")):
        invite(
            actor=alice,
            organization=organization,
            email=email,
            workspace=place,
            workspace_role="member",
        )
    path = "/o/nordhavn/members/"

    assert b"in Hush hush" in client_of(alice).get(path).content
    seen = client_of(bob).get(path).content
    assert b"Hush hush" not in seen
    assert b"one@example.org" not in seen
    assert b"two@example.org" in seen
