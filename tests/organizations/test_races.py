"""Two requests at the same moment, on a real PostgreSQL."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from apps.accounts.models import User
from apps.accounts.services import LinkUnusable, issue_sign_in_link
from apps.core.errors import PortalError
from apps.organizations.invitations import accept_as_new_person, accept_invitation, invite
from apps.organizations.models import Invitation, Organization, Workspace, WorkspaceGrant
from apps.organizations.services import create_workspace
from apps.portal.services import set_up
from tests.conftest import make_user

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
