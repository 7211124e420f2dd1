import pytest

from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.organizations.models import Workspace
from apps.organizations.workspaces.services import create_workspace, update_workspace


def test_an_owner_makes_a_workspace(alice, organization, client_of):
    response = client_of(alice).post(
        "/o/nordhavn/workspaces/new/", {"name": "Ad hoc", "description": "Experiments"}
    )

    assert response.status_code == 302
    assert response["Location"] == "/w/ad-hoc/"
    assert AuditEvent.objects.filter(action="workspace.created", target_label="Ad hoc").exists()


def test_a_member_is_told_who_may_make_one(alice, bob, client_of):
    client = client_of(bob)

    assert b"Organization Owner" in client.get("/o/nordhavn/workspaces/").content
    refusal = client.post("/o/nordhavn/workspaces/new/", {"name": "Mine"})
    assert refusal.status_code == 403
    assert b"Alice" in refusal.content


def test_an_outsider_finds_nothing(charlie, organization, client_of):
    assert client_of(charlie).get("/o/nordhavn/workspaces/").status_code == 404


def test_a_taken_name_is_refused_in_any_case(alice, organization, workspace):
    with pytest.raises(Invalid) as caught:
        create_workspace(actor=alice, organization=organization, name="WAREHOUSE")

    assert caught.value.field == "name"


def test_the_same_name_in_another_organization_gets_another_address(charlie, workspace, client_of):
    response = client_of(charlie).post("/o/elsewhere/workspaces/new/", {"name": "Warehouse"})

    assert response.status_code == 302
    assert response["Location"].startswith("/w/warehouse-")


def test_a_name_without_letters_gets_an_address(alice, organization):
    made = create_workspace(actor=alice, organization=organization, name="数据")

    assert made.slug


def test_renaming_keeps_the_address(alice, workspace, client_of):
    response = client_of(alice).post(
        "/w/warehouse/settings/", {"name": "Depot", "description": "All of it"}
    )

    assert response.status_code == 302
    workspace.refresh_from_db()
    assert (workspace.name, workspace.slug) == ("Depot", "warehouse")
    event = AuditEvent.objects.get(action="workspace.updated")
    assert event.changes["name"] == ["Warehouse", "Depot"]


def test_saving_without_a_change_leaves_no_audit_event(alice, workspace):
    update_workspace(actor=alice, workspace=workspace, name="Warehouse", description="")

    assert not AuditEvent.objects.filter(action="workspace.updated").exists()


def test_a_member_sees_the_settings_but_may_not_save(alice, bob, workspace, client_of):
    client = client_of(bob)

    assert client.get("/w/warehouse/settings/").status_code == 200
    assert client.post("/w/warehouse/settings/", {"name": "Mine"}).status_code == 403
    assert Workspace.objects.get(pk=workspace.pk).name == "Warehouse"


def test_the_organization_is_renamed(alice, organization, client_of):
    client_of(alice).post("/o/nordhavn/settings/", {"name": "Nordhavn A/S"})

    organization.refresh_from_db()
    assert (organization.name, organization.slug) == ("Nordhavn A/S", "nordhavn")


@pytest.mark.parametrize("name", ["", " ", "x" * 51])
def test_bad_names_are_refused_beside_the_field(alice, workspace, client_of, name):
    response = client_of(alice).post("/o/nordhavn/workspaces/new/", {"name": name})

    assert response.status_code == 422
    assert b'aria-invalid="true"' in response.content
