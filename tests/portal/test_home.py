from apps.access.grants.services import grant
from apps.organizations.models import Workspace
from tests.conftest import make_user, role


def test_home_shows_the_only_workspace(bob, workspace, client_of):
    page = client_of(bob).get("/").content.decode()

    assert 'href="/w/warehouse/"' in page
    assert "0 Deployments in 1 workspace<" in page


def test_home_shows_all_workspaces(alice, organization, workspace, client_of):
    Workspace.objects.create(organization=organization, name="Zoo", slug="zoo")

    page = client_of(alice).get("/").content

    assert b"/w/zoo/" in page
    assert b"/w/warehouse/" in page


def test_home_forgets_a_workspace_that_is_closed_to_the_person(alice, bob, workspace, client_of):
    client = client_of(bob)
    client.get("/w/warehouse/")
    bob.workspacegrant_set.all().delete()

    response = client.get("/")

    assert response.status_code == 200
    assert b"Alice" in response.content


def test_a_person_without_an_organization_is_told_so(db, client_of):
    response = client_of(make_user("Dora")).get("/")

    assert b"You have not been invited to an organization" in response.content


def test_an_owner_without_a_workspace_can_make_one(alice, client_of):
    assert b"/o/nordhavn/workspaces/new/" in client_of(alice).get("/").content


def test_home_asks_a_stranger_to_sign_in(db, client):
    assert client.get("/")["Location"] == "/accounts/login/?next=/"


def test_a_workspace_of_others_does_not_exist(charlie, workspace, client_of):
    assert client_of(charlie).get("/w/warehouse/").status_code == 404


def test_the_overview_shows_workspaces_and_clusters(alice, bob, deployment, client_of):
    page = client_of(alice).get("/o/nordhavn/").content.decode()

    assert "Warehouse" in page
    assert "This machine" in page
    assert "2 people" in page


def test_the_overview_of_others_does_not_exist(charlie, organization, client_of):
    assert client_of(charlie).get("/o/nordhavn/").status_code == 404


def test_search_finds_what_the_person_may_see(alice, bob, charlie, deployment, client_of):
    mine = client_of(bob).get("/search?q=etl").content
    theirs = client_of(charlie).get("/search?q=etl").content

    assert b"/d/etl-prod-7f3c/" in mine
    assert b"Nothing found" in theirs


def test_search_finds_people_of_the_same_organization_only(alice, bob, charlie, client_of):
    assert b"bob@example.org" in client_of(alice).get("/search?q=bob").content
    assert b"Nothing found" in client_of(charlie).get("/search?q=bob").content


def test_search_bears_odd_input(alice, client_of):
    client = client_of(alice)

    for text in ("", "%25", "'", "x" * 5000):
        assert client.get(f"/search?q={text}").status_code == 200


def test_a_role_on_one_deployment_opens_that_one_only(alice, make_deployment, workspace, client_of):
    one, other = make_deployment(name="one"), make_deployment(name="other")
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "member"), on=workspace.organization)
    grant(actor=None, user=dora, role=role("workspace", "accessor"), on=workspace)
    grant(actor=None, user=dora, role=role("deployment", "viewer"), on=one)

    page = client_of(dora).get("/search?q=o").content

    assert one.ref.encode() in page
    assert other.ref.encode() not in page
