import pytest
from django.utils import timezone

from apps.organizations.models import Invitation, Workspace
from apps.organizations.queries import workspaces_of


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

    assert b"The newest 50 of 60" in client.get("/o/nordhavn/members/").content
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
