"""No one takes from another person what they could not give: in bulk, by a time, or by a Team."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.access.grants.services import RightsExceeded, grant
from apps.access.models import Role
from apps.accounts.models import User
from apps.organizations.invitations.services import invite, revoke_invitation
from apps.organizations.members.closing import close_account
from apps.organizations.members.services import assign_role, remove_person
from apps.organizations.models import Invitation, Organization, WorkspaceGrant
from apps.organizations.roles.services import create_role, delete_role
from apps.organizations.teams.services import add_to_team, assign_team_role, create_team
from tests.conftest import custom_role, make_user, put_role, role

MANAGING = [
    "organization.view",
    "organization.members.view",
    "organization.members.manage",
    "organization.roles.manage",
    "organization.clusters.view",
    "workspace.view",
]


@pytest.fixture
def people_manager(alice, organization) -> Role:
    return custom_role("People manager", MANAGING, organization=organization, actor=alice)


@pytest.fixture
def mallory(organization, people_manager) -> User:
    user = make_user("Mallory")
    put_role(user, people_manager, organization)
    return user


@pytest.fixture
def dora(organization, workspace) -> User:
    """The owner of the workspace."""
    user = make_user("Dora")
    put_role(user, role("organization", "member"), organization)
    put_role(user, role("workspace", "owner"), workspace)
    return user


def test_a_manager_of_members_does_not_remove_the_owner_of_a_workspace(
    mallory, dora, organization, workspace, client_of
):
    with pytest.raises(RightsExceeded):
        remove_person(actor=mallory, user=dora, on=organization)

    response = client_of(mallory).post(f"/o/nordhavn/members/{dora.pk}/remove/")
    assert response.status_code == 422
    assert User.objects.get(pk=dora.pk).has_perm("workspace.members.manage", workspace)


def test_a_manager_of_members_puts_no_end_to_a_role_below(mallory, dora, organization, workspace):
    soon = timezone.now() + timedelta(minutes=5)

    with pytest.raises(RightsExceeded):
        assign_role(
            actor=mallory,
            user=dora,
            role=role("organization", "member"),
            on=organization,
            expires_at=soon,
        )

    assert WorkspaceGrant.objects.get(user=dora, content_object=workspace).expires_at is None


def test_a_manager_of_a_workspace_removes_nobody_whose_role_on_a_deployment_exceeds_theirs(
    alice, mallory, bob, organization, workspace, deployment
):
    manager = custom_role(
        "Workspace people",
        ["workspace.view", "workspace.members.view", "workspace.members.manage"],
        organization=organization,
        actor=alice,
        scope="workspace",
    )
    grant(actor=None, user=mallory, role=manager, on=workspace)
    dora = make_user("Dora")
    put_role(dora, role("organization", "member"), organization)
    put_role(dora, role("workspace", "accessor"), workspace)
    put_role(dora, role("deployment", "viewer"), deployment)

    with pytest.raises(RightsExceeded):
        remove_person(actor=mallory, user=dora, on=workspace)

    assert User.objects.get(pk=dora.pk).has_perm("deployment.view", deployment)


def test_removing_a_person_takes_no_membership_of_a_team_that_may_more(
    alice, mallory, bob, organization, workspace
):
    team = create_team(actor=alice, organization=organization, name="Owners")
    assign_team_role(actor=alice, team=team, role=role("workspace", "owner"), on=workspace)
    eve = make_user("Eve")
    put_role(eve, role("organization", "member"), organization)
    add_to_team(actor=alice, team=team, user=eve)

    with pytest.raises(RightsExceeded):
        remove_person(actor=mallory, user=eve, on=organization)

    assert User.objects.get(pk=eve.pk).has_perm("workspace.members.manage", workspace)


def test_an_invitation_to_more_than_one_holds_is_not_revoked(
    alice, mallory, organization, client_of
):
    invite(
        actor=alice, organization=organization, email="new@example.org", organization_role="owner"
    )

    with pytest.raises(RightsExceeded):
        revoke_invitation(actor=mallory, invitation=Invitation.objects.get())


def test_a_deleted_role_is_not_replaced_by_more_in_what_others_offer(alice, mallory, organization):
    guest = custom_role("Guest", ["organization.view"], organization=organization, actor=alice)
    invite(
        actor=alice, organization=organization, email="new@example.org", organization_role=guest.key
    )

    with pytest.raises(RightsExceeded):
        delete_role(actor=mallory, role=guest, instead=role("organization", "owner"))

    assert Invitation.objects.get().organization_role == guest.key


def test_everybody_may_leave_with_what_they_hold(dora, alice, organization, workspace):
    team = create_team(actor=alice, organization=organization, name="Owners")
    assign_team_role(actor=alice, team=team, role=role("workspace", "owner"), on=workspace)
    add_to_team(actor=alice, team=team, user=dora)

    remove_person(actor=dora, user=dora, on=organization)

    assert not dora.groups.exists()


ACTS: dict[str, Callable[[User, User, Organization], object]] = {
    "invite": lambda actor, _, on: invite(
        actor=actor, organization=on, email="x@example.org", organization_role="owner"
    ),
    "close": lambda actor, other, on: close_account(actor=actor, user=other, organization=on),
    "shorten": lambda actor, other, on: assign_role(
        actor=actor,
        user=other,
        role=role("organization", "owner"),
        on=on,
        expires_at=timezone.now() + timedelta(minutes=5),
    ),
    "make a role": lambda actor, _, on: create_role(
        actor=actor,
        organization=on,
        scope="organization",
        name="Mine",
        description="",
        permissions=["organization.sso.manage"],
        is_limited=False,
        workspaces=[],
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_rights_count_as_they_are_when_it_is_ones_turn(alice, organization, workspace, act):
    """A request that waits for another one, which takes the role of who sent it."""
    other, late = make_user("Olga"), make_user("Late")
    for person in (other, late):
        put_role(person, role("organization", "owner"), organization)
    assert late.has_perm("organization.sso.manage", organization)
    grant(
        actor=alice,
        user=User.objects.get(pk=late.pk),
        role=role("organization", "member"),
        on=organization,
    )

    with pytest.raises(RightsExceeded):
        ACTS[act](late, other, organization)
