from apps.access.effective_grants import roles_within
from apps.access.grants.services import grant
from apps.audit.models import AuditEvent
from tests.conftest import make_user, role


def test_a_person_leaves_with_every_role(alice, bob, organization, workspace, client_of):
    client = client_of(bob)

    assert b"Workspace Member on Warehouse" in client.get("/o/nordhavn/leave/").content
    response = client.post("/o/nordhavn/leave/", follow=True)

    assert b"You have left Nordhavn Logistics." in response.content
    assert roles_within(user=bob, on=organization) == []
    assert client.get("/o/nordhavn/").status_code == 404
    assert AuditEvent.objects.filter(action="role.revoked", actor=bob).count() == 2


def test_an_owner_leaves_while_another_one_stays(alice, organization, client_of):
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "owner"), on=organization)

    assert client_of(alice).post("/o/nordhavn/leave/").status_code == 302


def test_the_last_owner_cannot_leave(alice, organization, client_of):
    response = client_of(alice).post("/o/nordhavn/leave/")

    assert response.status_code == 422
    assert b"last owner" in response.content
    assert alice.organizationgrant_set.exists()


def test_nobody_leaves_what_they_are_not_in(charlie, organization, client_of):
    assert client_of(charlie).post("/o/nordhavn/leave/").status_code == 404


def test_the_settings_lead_there(bob, client_of):
    assert b"/o/nordhavn/leave/" in client_of(bob).get("/o/nordhavn/settings/").content
