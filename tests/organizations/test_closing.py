import pytest

from apps.access.grants.services import RightsExceeded, grant
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Refused
from apps.organizations.members.closing import close_account, reopen_account
from apps.organizations.members.services import assign_role
from apps.organizations.models import Organization
from apps.organizations.tokens.services import create_token
from tests.conftest import custom_role, make_user, role


def test_an_owner_closes_an_account_and_its_sessions_and_tokens_end(
    alice, bob, workspace, client_of, client
):
    assign_role(actor=alice, user=bob, role=role("workspace", "operator"), on=workspace)
    _, secret = create_token(
        actor=bob, on=workspace, name="CI", role=role("workspace", "member"), expires_at=None
    )
    of_bob = client_of(bob)
    assert of_bob.get("/w/warehouse/members/").status_code == 200

    answer = client_of(alice).post(f"/o/nordhavn/members/{bob.pk}/account/")

    assert answer.status_code == 302
    assert of_bob.get("/w/warehouse/members/").status_code == 302
    called = client.get("/v1/users/self", headers={"Authorization": f"Bearer {secret}"})
    assert called.status_code == 401
    assert AuditEvent.objects.get(action="account.closed").actor == alice

    client_of(alice).post(f"/o/nordhavn/members/{bob.pk}/account/")

    assert User.objects.get(pk=bob.pk).has_perm("deployment.update", workspace)
    assert client_of(bob).get("/w/warehouse/members/").status_code == 200


def test_nobody_closes_their_own_account(alice, organization, client_of):
    answer = client_of(alice).post(f"/o/nordhavn/members/{alice.pk}/account/")

    assert answer.status_code == 422
    assert User.objects.get(pk=alice.pk).is_active


def test_people_of_other_organizations_and_operators_are_not_closed(alice, bob, organization):
    elsewhere = Organization.objects.create(name="Elsewhere", slug="elsewhere")
    grant(actor=None, user=bob, role=role("organization", "member"), on=elsewhere)
    runner = make_user("Runner", is_operator=True)
    grant(actor=None, user=runner, role=role("organization", "member"), on=organization)

    for person, words in ((bob, "other organizations"), (runner, "operator of this installation")):
        with pytest.raises(Refused, match=words):
            close_account(actor=alice, user=person, organization=organization)


def test_who_holds_more_is_not_closed(alice, bob, organization):
    manager = custom_role(
        "People manager",
        ["organization.members.view", "organization.members.manage"],
        organization=organization,
        actor=alice,
    )
    assign_role(actor=alice, user=bob, role=manager, on=organization)

    with pytest.raises(RightsExceeded):
        close_account(actor=bob, user=alice, organization=organization)
    with pytest.raises(RightsExceeded):
        reopen_account(actor=bob, user=alice, organization=organization)


def test_members_and_outsiders_close_nothing(alice, bob, charlie, workspace, client_of):
    path = f"/o/nordhavn/members/{alice.pk}/account/"

    assert client_of(bob).post(path).status_code == 403
    assert client_of(charlie).post(path).status_code == 404
