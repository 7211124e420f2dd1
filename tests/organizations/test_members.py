import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.access.effective_grants import roles_within
from apps.access.grants.services import LastOwner, RightsExceeded, grant
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.organizations.members.services import assign_role, remove_person
from apps.organizations.queries import is_member
from tests.conftest import make_user, role


def test_an_owner_changes_a_role(alice, bob, workspace, client_of):
    client = client_of(alice)

    response = client.post(f"/w/warehouse/members/{bob.pk}/", {"role": "operator"})

    assert response.status_code == 302
    assert User.objects.get(pk=bob.pk).has_perm("deployment.update", workspace)
    event = AuditEvent.objects.get(action="role.granted", actor=alice)
    assert event.changes == {"role of bob@example.org": ["Workspace Member", "Workspace Operator"]}


def test_a_member_sees_the_page_but_the_change_is_locked(alice, bob, workspace, client_of):
    client = client_of(bob)

    page = client.get(f"/w/warehouse/members/{bob.pk}/").content.decode()
    assert "Workspace Owner" in page
    assert "Alice" in page
    refusal = client.post(f"/w/warehouse/members/{bob.pk}/", {"role": "owner"})
    assert refusal.status_code == 403
    assert b"Workspace Owner" in refusal.content
    assert b"Alice" in refusal.content


def test_an_outsider_finds_nothing(alice, bob, charlie, workspace, client_of):
    client = client_of(charlie)

    assert client.get("/w/warehouse/members/").status_code == 404
    assert client.get("/o/nordhavn/members/").status_code == 404
    assert client.post(f"/w/warehouse/members/{bob.pk}/", {"role": "owner"}).status_code == 404


def test_people_of_other_organizations_have_no_page_here(alice, charlie, client_of):
    assert client_of(alice).get(f"/o/nordhavn/members/{charlie.pk}/").status_code == 404


def test_people_of_other_organizations_get_no_role(alice, charlie, workspace):
    with pytest.raises(Invalid, match="Invite them first"):
        assign_role(actor=alice, user=charlie, role=role("workspace", "member"), on=workspace)


def test_a_role_on_a_deployment_lets_its_holder_enter_the_workspace(alice, deployment):
    dora = make_user("Dora")
    organization = deployment.workspace.organization
    grant(actor=None, user=dora, role=role("organization", "member"), on=organization)

    assign_role(actor=alice, user=dora, role=role("deployment", "viewer"), on=deployment)

    assert dora.has_perm("deployment.view", deployment)
    assert dora.has_perm("workspace.view", deployment.workspace)
    assert not dora.has_perm("workspace.members.view", deployment.workspace)


def test_nobody_gives_a_role_above_their_own(bob, alice, workspace):
    grant(actor=None, user=bob, role=role("workspace", "operator"), on=workspace)

    with pytest.raises(RightsExceeded):
        assign_role(actor=bob, user=bob, role=role("workspace", "owner"), on=workspace)


def test_nobody_takes_a_role_above_their_own(bob, workspace):
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "member"), on=workspace.organization)
    grant(actor=None, user=dora, role=role("workspace", "owner"), on=workspace)

    with pytest.raises(RightsExceeded):
        remove_person(actor=bob, user=dora, on=workspace)


def test_the_last_owner_stays(alice, organization, client_of):
    with pytest.raises(LastOwner):
        remove_person(actor=alice, user=alice, on=organization)

    client = client_of(alice)
    demoted = client.post(f"/o/nordhavn/members/{alice.pk}/", {"role": "member"})
    assert demoted.status_code == 422
    assert b"last owner" in demoted.content
    removed = client.post(f"/o/nordhavn/members/{alice.pk}/remove/")
    assert removed.status_code == 422
    assert is_member(user=alice, organization=organization)


def test_a_disabled_owner_does_not_count(alice, organization):
    dora = make_user("Dora", is_active=False)
    grant(actor=None, user=dora, role=role("organization", "owner"), on=organization)

    with pytest.raises(LastOwner):
        remove_person(actor=alice, user=alice, on=organization)


def test_removing_a_person_takes_every_role_below(alice, bob, deployment, client_of):
    organization = deployment.workspace.organization
    grant(actor=None, user=bob, role=role("deployment", "admin"), on=deployment)
    client = client_of(alice)

    page = client.get(f"/o/nordhavn/members/{bob.pk}/remove/").content.decode()
    assert "Deployment Admin on etl-prod" in page
    client.post(f"/o/nordhavn/members/{bob.pk}/remove/")

    assert roles_within(user=bob, on=organization) == []
    gone = User.objects.get(pk=bob.pk)
    assert not gone.has_perm("deployment.view", deployment)
    assert AuditEvent.objects.filter(action="role.revoked", actor=alice).count() == 3


def test_whoever_is_removed_from_the_organization_is_signed_out(alice, bob, client_of):
    theirs, ours = client_of(bob), client_of(alice)
    assert theirs.get("/account/").status_code == 200

    ours.post(f"/o/nordhavn/members/{bob.pk}/remove/")

    assert theirs.get("/account/").status_code == 302
    assert ours.get("/account/").status_code == 200


def test_removing_from_a_workspace_leaves_the_organization(alice, bob, workspace):
    remove_person(actor=alice, user=bob, on=workspace)

    assert is_member(user=bob, organization=workspace.organization)
    assert not bob.has_perm("workspace.view", workspace)


def test_roles_in_other_organizations_stay(alice, charlie, organization):
    grant(actor=None, user=charlie, role=role("organization", "member"), on=organization)

    remove_person(actor=alice, user=charlie, on=organization)

    elsewhere = charlie.organizationgrant_set.get().content_object
    assert elsewhere.slug == "elsewhere"


def test_somebody_of_the_organization_is_added_at_once(alice, bob, organization, client_of):
    client = client_of(alice)
    client.post("/o/nordhavn/workspaces/new/", {"name": "Second", "description": ""})

    response = client.post("/w/second/members/add/", {"email": "BOB@example.org", "role": "member"})

    assert response.status_code == 302
    again = client.post("/w/second/members/add/", {"email": bob.email, "role": "member"})
    assert again.status_code == 422
    assert b"already" in again.content


def test_the_list_is_searched_and_says_when_nobody_matches(alice, bob, client_of):
    client = client_of(alice)

    found = client.get("/o/nordhavn/members/?q=bob").content
    assert b"bob@example.org" in found
    assert b"alice@example.org" not in found.replace(b"<b>Alice</b>", b"").split(b"<main")[1]
    assert b"No matches" in client.get("/o/nordhavn/members/?q=zzz").content


def test_the_list_costs_the_same_for_one_and_for_fifty(alice, organization, client_of):
    client = client_of(alice)
    client.get("/o/nordhavn/members/")
    with CaptureQueriesContext(connection) as few:
        client.get("/o/nordhavn/members/")
    for number in range(49):
        person = make_user(f"p{number}")
        grant(actor=None, user=person, role=role("organization", "member"), on=organization)

    with CaptureQueriesContext(connection) as many:
        client.get("/o/nordhavn/members/")

    assert len(many) == len(few)


@pytest.mark.parametrize("text", ["%25", "'", "x" * 5000])
def test_the_search_bears_odd_input(alice, workspace, client_of, text):
    client = client_of(alice)

    assert client.get(f"/o/nordhavn/members/?q={text}").status_code == 200
    assert client.get(f"/w/warehouse/members/?q={text}").status_code == 200


def test_nobody_is_removed_who_has_no_role_of_their_own(alice, workspace, client_of):
    client = client_of(alice)
    path = f"/w/warehouse/members/{alice.pk}/remove/"

    page = client.post(path, follow=True)

    assert page.redirect_chain == [("/w/warehouse/members/", 302)]
    assert b"Alice has no direct role in Warehouse." in page.content
    assert not AuditEvent.objects.filter(action="role.revoked").exists()
