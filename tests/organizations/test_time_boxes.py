"""Roles that end by themselves: chosen in the pages, kept by the database's clock."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.access.grants.services import LastOwner, grant
from apps.access.models import Role
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.models import DeploymentGrant
from apps.organizations.invitations.services import accept_invitation, invite
from apps.organizations.members.services import assign_role
from apps.organizations.models import Invitation, OrganizationGrant, Workspace, WorkspaceGrant
from tests.conftest import make_user, role

HOUR = timedelta(hours=1)


def test_a_role_is_given_for_a_week_and_the_page_says_so(alice, bob, workspace, client_of):
    client = client_of(alice)

    answer = client.post(f"/w/warehouse/members/{bob.pk}/", {"role": "operator", "until": "week"})

    assert answer.status_code == 302
    held = WorkspaceGrant.objects.get(user=bob)
    assert abs(held.expires_at - timezone.now() - timedelta(days=7)) < HOUR
    assert b"Expires <time" in client.get("/w/warehouse/members/").content
    page = client.get(f"/w/warehouse/members/{bob.pk}/").content.decode()
    assert "Unchanged: " in page
    event = AuditEvent.objects.get(action="role.granted", actor=alice)
    assert "Workspace Operator until 20" in event.changes["role of bob@example.org"][1]


def test_the_end_stays_when_only_the_role_changes(alice, bob, workspace, client_of):
    ends_at = timezone.now() + timedelta(days=3)
    grant(
        actor=None,
        user=bob,
        role=role("workspace", "member"),
        on=workspace,
        expires_at=ends_at,
    )

    client_of(alice).post(f"/w/warehouse/members/{bob.pk}/", {"role": "author", "until": "same"})

    held = WorkspaceGrant.objects.get(user=bob)
    assert (held.role.key, held.expires_at) == ("author", ends_at)


def test_a_day_ends_at_midnight_of_the_readers_zone(alice, bob, workspace, client_of):
    alice.time_zone = "Asia/Tokyo"
    alice.save(update_fields=["time_zone"])
    day = (timezone.now() + timedelta(days=20)).date()

    client_of(alice).post(
        f"/w/warehouse/members/{bob.pk}/",
        {"role": "member", "until": "date", "until_day": day.isoformat()},
    )

    ends_at = WorkspaceGrant.objects.get(user=bob).expires_at
    assert (ends_at.date(), ends_at.hour) == (day, 15)


@pytest.mark.parametrize("day", ["", "2020-01-01", "9999-12-31", "x", "2026-02-31"])
def test_a_day_that_cannot_be_is_refused_and_nothing_typed_is_lost(
    alice, bob, workspace, client_of, day
):
    answer = client_of(alice).post(
        f"/w/warehouse/members/{bob.pk}/",
        {"role": "operator", "until": "date", "until_day": day},
    )

    assert answer.status_code == 422
    assert WorkspaceGrant.objects.get(user=bob).expires_at is None
    assert f'value="{day}"'.encode() in answer.content or not day


def test_an_ended_role_is_gone_from_pages_and_from_what_takes_its_place(
    alice, bob, workspace, client_of
):
    past = timezone.now() - HOUR
    WorkspaceGrant.objects.filter(user=bob).update(expires_at=past)
    client = client_of(alice)

    assert b"bob@example.org" not in client.get("/w/warehouse/members/").content
    assert b"no direct role" in client.get(f"/w/warehouse/members/{bob.pk}/").content
    assert list(Workspace.objects.visible_to(bob)) == []
    assign_role(actor=alice, user=bob, role=role("workspace", "member"), on=workspace)
    event = AuditEvent.objects.filter(action="role.granted").latest("pk")
    assert event.changes == {"role of bob@example.org": [None, "Workspace Member"]}


def test_the_last_owner_is_an_owner_for_good(alice, organization, client_of):
    answer = client_of(alice).post(
        f"/o/nordhavn/members/{alice.pk}/", {"role": "owner", "until": "week"}
    )

    assert answer.status_code == 422
    assert b"last owner" in answer.content
    assert OrganizationGrant.objects.get(user=alice).expires_at is None


def test_an_owner_for_a_week_does_not_free_the_last_one(alice, bob, organization):
    owner = role("organization", "owner")
    in_a_week = timezone.now() + timedelta(days=7)
    assign_role(actor=alice, user=bob, role=owner, on=organization, expires_at=in_a_week)

    with pytest.raises(LastOwner):
        assign_role(actor=alice, user=alice, role=role("organization", "member"), on=organization)


def test_nothing_outlives_the_role_on_the_organization(alice, bob, deployment):
    organization = deployment.workspace.organization
    ends_at = timezone.now() + timedelta(days=2)
    member = role("organization", "member")

    assign_role(actor=alice, user=bob, role=member, on=organization, expires_at=ends_at)
    assign_role(actor=alice, user=bob, role=role("deployment", "author"), on=deployment)

    assert WorkspaceGrant.objects.get(user=bob).expires_at == ends_at
    assert DeploymentGrant.objects.get(user=bob).expires_at == ends_at


def test_the_way_in_lasts_as_long_as_the_role_below_it(alice, organization, deployment):
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "member"), on=organization)
    viewer: Role = role("deployment", "viewer")
    soon, later = timezone.now() + HOUR, timezone.now() + timedelta(days=5)

    assign_role(actor=alice, user=dora, role=viewer, on=deployment, expires_at=soon)
    assert WorkspaceGrant.objects.get(user=dora).expires_at == soon
    assign_role(actor=alice, user=dora, role=viewer, on=deployment, expires_at=later)

    assert WorkspaceGrant.objects.get(user=dora).expires_at == later


def test_an_invitation_offers_a_role_for_a_time(alice, organization, client_of):
    client_of(alice).post(
        "/o/nordhavn/members/invite/",
        {"email": "guest@example.org", "role": "member", "until": "month"},
    )
    invitation = Invitation.objects.get()
    guest = User.objects.create_user("guest@example.org", "correct horse battery")

    accept_invitation(user=guest, invitation=invitation)

    ends_at = OrganizationGrant.objects.get(user=guest).expires_at
    assert abs(ends_at - timezone.now() - timedelta(days=30)) < HOUR


def test_a_link_dies_with_the_role_that_it_offers(alice, organization):
    soon = timezone.now() + HOUR
    invite(actor=alice, organization=organization, email="g@example.org", roles_end_at=soon)

    assert Invitation.objects.get().expires_at == soon


def test_a_role_on_a_deployment_is_given_for_a_day(alice, bob, deployment, client_of):
    client = client_of(alice)

    answer = client.post(
        f"/d/{deployment.ref}/access/",
        {"email": bob.email, "role": "author", "until": "day"},
    )

    assert answer.status_code == 302
    assert DeploymentGrant.objects.get(user=bob).expires_at is not None
    assert b"Expires <time" in client.get(f"/d/{deployment.ref}/access/").content


def test_a_person_reads_which_of_their_roles_end_and_when(
    alice, bob, charlie, deployment, client_of, django_assert_max_num_queries
):
    assign_role(
        actor=alice,
        user=bob,
        role=role("deployment", "author"),
        on=deployment,
        expires_at=timezone.now() + HOUR,
    )
    client = client_of(bob)
    assert 'href="/account/roles/"' in client.get("/account/").content.decode()

    with django_assert_max_num_queries(16):
        page = client.get("/account/roles/").content.decode()

    assert page.index("Deployment Author") < page.index("Organization Member")
    assert page.count("Expires <time") == 1
    DeploymentGrant.objects.update(expires_at=timezone.now())
    assert "Deployment Author" not in client.get("/account/roles/").content.decode()
    assert "Nordhavn" not in client_of(charlie).get("/account/roles/").content.decode()


def test_somebody_without_any_role_is_told_so(db, client_of):
    page = client_of(make_user("Dora")).get("/account/roles/").content.decode()

    assert "You have no roles" in page
