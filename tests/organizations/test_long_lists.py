import pytest
from django.utils import timezone

from apps.access.models import Role
from apps.core.web.forms import Choices
from apps.organizations.forms import RoleField
from apps.organizations.models import Invitation, Workspace
from apps.organizations.roles.services import create_role
from apps.organizations.teams.services import create_team
from apps.organizations.tokens.services import create_token
from apps.organizations.workspaces.queries import workspaces_of
from tests.conftest import role


@pytest.fixture
def many(organization):
    return Workspace.objects.bulk_create(
        Workspace(organization=organization, name=f"W {number:02d}.", slug=f"w-{number}")
        for number in range(60)
    )


@pytest.mark.parametrize("path", ["/o/nordhavn/workspaces/", "/"])
def test_workspaces_come_in_pages(alice, many, client_of, path):
    client = client_of(alice)

    first = client.get(path).content
    second = client.get(f"{path}?page=2").content

    assert b"W 49." in first
    assert b"W 50." not in first
    assert b"W 50." in second
    assert b"1 to 50 of 60" in first


def test_the_overview_shows_the_first_ones_and_how_many_there_are(alice, many, client_of):
    page = client_of(alice).get("/o/nordhavn/").content

    assert b"60 workspaces" in page
    assert b"W 19." in page
    assert b"W 20." not in page


def test_the_newest_invitations_are_listed_and_others_are_found(alice, organization, client_of):
    Invitation.objects.bulk_create(
        Invitation(
            organization=organization,
            email=f"p{number:02d}@example.org",
            token_digest=str(number),
            invited_by=alice,
            expires_at=timezone.now(),
            created_at=timezone.now(),
        )
        for number in range(60)
    )
    client = client_of(alice)

    assert b"Showing the newest 50 of 60" in client.get("/o/nordhavn/members/").content
    found = client.get("/o/nordhavn/members/?q=p00").content
    assert b"p00@example.org" in found
    assert b"p01@example.org" not in found


def test_roles_that_have_ended_are_not_counted(alice, bob, workspace, deployment, client_of):
    listed = workspaces_of(organization=workspace.organization, user=alice)
    assert [one.people_count for one in listed] == [1]

    bob.workspacegrant_set.update(expires_at=timezone.now())

    assert [one.people_count for one in listed.all()] == [0]
    page = client_of(alice).get("/o/nordhavn/").content.decode()
    assert '<td data-label="Deployments">1</td>' in page
    assert '<td data-label="Own members">0</td>' in page


def test_teams_custom_roles_and_tokens_are_found_by_a_part_of_their_name(
    alice, organization, client_of
):
    held = role("organization", "member")
    for name in ("Harbour", "Night shift"):
        create_team(actor=alice, organization=organization, name=name)
        create_token(actor=alice, on=organization, name=name, role=held, expires_at=None)
        create_role(
            actor=alice,
            organization=organization,
            scope="workspace",
            name=name,
            description="",
            permissions=[],
            is_limited=False,
            workspaces=[],
        )
    client = client_of(alice)

    for path in ("teams", "roles", "tokens"):
        found = client.get(f"/o/nordhavn/{path}/?q=NIGHT").content
        assert b"Night shift" in found
        assert b"Harbour" not in found
        assert b'value="NIGHT"' in found
        assert b"Harbour" not in client.get(f"/o/nordhavn/{path}/?q=zzz").content
        assert b"Clear search" in client.get(f"/o/nordhavn/{path}/?q=zzz").content


def test_tokens_come_in_pages(alice, organization, client_of):
    held = role("organization", "member")
    for number in range(51):
        name = f"T {number:02d}."
        create_token(actor=alice, on=organization, name=name, role=held, expires_at=None)
    client = client_of(alice)

    assert b"T 50." not in client.get("/o/nordhavn/tokens/").content
    assert b"T 50." in client.get("/o/nordhavn/tokens/?page=2").content


def test_many_roles_are_a_list_to_open_with_the_built_in_ones_first():
    few = [Role(key=f"k{number}", name=f"Role {number}") for number in range(12)]
    own = Role(key="own", name="A role of ours", organization_id=1)

    assert isinstance(RoleField(roles=few).widget, Choices)
    assert RoleField(roles=[own, *few]).choices == [
        ("Built-in", [(one.key, one.name) for one in few]),
        ("Custom", [("own", "A role of ours")]),
    ]
    assert RoleField(roles=[own, *few]).clean("own") == own
