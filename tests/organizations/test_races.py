"""Two requests at the same moment, on a real PostgreSQL."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from apps.access.effective_grants import roles_within
from apps.access.grants.services import RightsExceeded, grant
from apps.accounts.models import User
from apps.accounts.services import AddressTaken, LinkUnusable, issue_sign_in_link
from apps.core.errors import Invalid, PortalError
from apps.organizations.invitations.services import accept_as_new_person, accept_invitation, invite
from apps.organizations.members.services import assign_role, remove_person
from apps.organizations.models import Invitation, Organization, Workspace, WorkspaceGrant
from apps.organizations.workspaces.services import create_workspace
from apps.portal.services import set_up
from tests.conftest import make_user, role

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], object]) -> list[PortalError]:
    """Run the calls at the same moment and return what was refused."""
    start, refused = threading.Barrier(len(calls)), []

    def run(call: Callable[[], object]) -> None:
        try:
            start.wait(5)
            call()
        except PortalError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return refused


def during(change: Callable[[], object], call: Callable[[], object]) -> PortalError | None:
    """Begin the call while the change is done but not committed; return what was refused."""
    refused: list[PortalError] = []

    def run() -> None:
        try:
            call()
        except PortalError as error:
            refused.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    with transaction.atomic():
        change()
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the call did not wait"
    thread.join(20)
    return refused[0] if refused else None


def test_one_setup_link_makes_one_administrator():
    token = issue_sign_in_link(user=None)

    def answer(name: str) -> Callable[[], object]:
        return lambda: set_up(
            token=token,
            email=f"{name}@example.org",
            name=name,
            password="correct horse battery",
            organization_name=name,
            workspace_name=name,
        )

    refused = at_once(answer("ada"), answer("eve"))

    assert [type(error) for error in refused] == [LinkUnusable]
    assert User.objects.filter(is_operator=True).count() == 1
    assert Organization.objects.count() == 1


def test_one_address_gets_one_invitation(alice, organization):
    def ask() -> None:
        invite(actor=alice, organization=organization, email="dora@example.org")

    refused = at_once(ask, ask)

    assert len(refused) == 1
    assert Invitation.objects.count() == 1


def test_an_invitation_is_accepted_once(alice, organization, workspace):
    invite(
        actor=alice,
        organization=organization,
        email="dora@example.org",
        workspace=workspace,
        workspace_role="member",
    )
    dora = make_user("Dora")

    def accept() -> None:
        accept_invitation(
            user=User.objects.get(pk=dora.pk),
            invitation=Invitation.objects.select_related("invited_by").get(),
        )

    refused = at_once(accept, accept)

    assert len(refused) == 1
    assert WorkspaceGrant.objects.filter(user=dora).count() == 1


def test_a_new_person_is_made_once(alice, organization):
    invite(actor=alice, organization=organization, email="dora@example.org")
    invitation = Invitation.objects.get()

    def accept() -> None:
        accept_as_new_person(invitation=invitation, name="Dora", password="correct horse battery")

    refused = at_once(accept, accept)

    assert len(refused) == 1
    assert User.objects.filter(email="dora@example.org").count() == 1


def test_one_name_makes_one_workspace(alice, organization):
    def make() -> None:
        create_workspace(actor=alice, organization=organization, name="Same")

    refused = at_once(make, make)

    assert len(refused) == 1
    assert Workspace.objects.filter(name="Same").count() == 1


def test_somebody_who_is_being_removed_gets_no_role(alice, bob, workspace):
    refusal = during(
        lambda: remove_person(actor=alice, user=bob, on=workspace.organization),
        lambda: assign_role(
            actor=User.objects.get(pk=alice.pk),
            user=User.objects.get(pk=bob.pk),
            role=role("workspace", "operator"),
            on=Workspace.objects.get(pk=workspace.pk),
        ),
    )

    assert isinstance(refusal, Invalid)
    assert roles_within(user=bob, on=workspace.organization) == []


def test_an_owner_who_is_being_removed_gives_no_role(alice, bob, workspace):
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "owner"), on=workspace.organization)
    dora.has_perm("organization.members.manage", workspace.organization)

    refusal = during(
        lambda: remove_person(actor=alice, user=dora, on=workspace.organization),
        lambda: assign_role(
            actor=dora,
            user=User.objects.get(pk=bob.pk),
            role=role("workspace", "owner"),
            on=Workspace.objects.get(pk=workspace.pk),
        ),
    )

    assert isinstance(refusal, RightsExceeded)


def test_an_invitation_waits_for_the_removal_of_who_sent_it(alice, workspace):
    dora, eve = make_user("Dora"), make_user("Eve")
    organization = workspace.organization
    grant(actor=None, user=dora, role=role("organization", "owner"), on=organization)
    invite(actor=dora, organization=organization, email=eve.email, organization_role="owner")

    refusal = during(
        lambda: remove_person(actor=alice, user=dora, on=organization),
        lambda: accept_invitation(user=eve, invitation=Invitation.objects.get()),
    )

    assert "can no longer assign this role" in refusal.message
    assert roles_within(user=eve, on=organization) == []


def test_one_address_invited_by_two_organizations_gets_one_account(alice, charlie, organization):
    elsewhere = Organization.objects.get(slug="elsewhere")
    for actor, place in ((alice, organization), (charlie, elsewhere)):
        invite(actor=actor, organization=place, email="dora@example.org")

    def accept(place: Organization) -> Callable[[], object]:
        invitation = Invitation.objects.get(organization=place)
        return lambda: accept_as_new_person(
            invitation=invitation, name="Dora", password="correct horse battery"
        )

    refused = at_once(accept(organization), accept(elsewhere))

    assert [type(error) for error in refused] == [AddressTaken]
    assert User.objects.filter(email="dora@example.org").count() == 1
