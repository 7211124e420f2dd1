"""“Who may delete etl-prod, and through what?” and “why may Dora do that?”"""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.access.grants.services import grant
from apps.accounts.models import User
from apps.organizations.members.services import assign_role
from apps.organizations.teams.services import add_to_team, assign_team_role, create_team
from tests.conftest import make_user, role


@pytest.fixture
def dora(organization) -> User:
    user = make_user("Dora")
    grant(actor=None, user=user, role=role("organization", "member"), on=organization)
    return user


def main_of(page: bytes) -> str:
    return page.decode().split("<main", 1)[1]


def test_each_way_is_named_with_role_place_team_and_end(
    alice, bob, dora, organization, deployment, client_of
):
    team = create_team(actor=alice, organization=organization, name="Night shift")
    add_to_team(actor=alice, team=team, user=dora)
    assign_team_role(
        actor=alice,
        team=team,
        role=role("workspace", "operator"),
        on=deployment.workspace,
        expires_at=timezone.now() + timedelta(days=2),
    )
    assign_role(actor=alice, user=dora, role=role("deployment", "admin"), on=deployment)

    url = f"/d/{deployment.ref}/who/?permission=deployment.delete&q=dora"
    page = main_of(client_of(alice).get(url).content)

    assert "2 grants match “dora”" in page
    assert "Deployment Admin" in page
    assert "Workspace Operator" in page
    assert "via Team" in page
    assert "Night shift" in page
    assert "by Alice" in page
    assert "Expires <time" in page
    assert "bob@example.org" not in page


def test_all_who_may_are_listed_and_nobody_else(alice, bob, deployment, client_of):
    client = client_of(bob)

    may_delete = main_of(
        client.get(f"/d/{deployment.ref}/who/?permission=deployment.delete").content
    )
    may_look = main_of(client.get(f"/d/{deployment.ref}/who/?permission=deployment.view").content)

    assert "alice@example.org" in may_delete
    assert "bob@example.org" not in may_delete
    assert "bob@example.org" in may_look


def test_who_may_not_reads_what_it_needs(alice, bob, deployment, client_of):
    url = f"/d/{deployment.ref}/who/?permission=deployment.delete&q=bob"

    page = main_of(client_of(alice).get(url).content)

    assert "No match has this permission" in page
    assert "Deployment Admin or Workspace Operator" in page


def test_a_refusal_leads_to_who_may(alice, bob, workspace, client_of):
    refusal = client_of(bob).post(f"/w/warehouse/members/{alice.pk}/", {"role": "owner"})

    assert b"/w/warehouse/who/?permission=workspace.members.manage" in refusal.content


def test_who_may_not_see_people_gets_no_such_link(alice, dora, deployment, client_of):
    assign_role(actor=alice, user=dora, role=role("workspace", "accessor"), on=deployment.workspace)

    refusal = client_of(dora).get("/w/warehouse/members/")

    assert refusal.status_code == 403
    assert b"/w/warehouse/who/" not in refusal.content


@pytest.mark.parametrize(
    "query",
    ["permission=x", "permission=organization.audit.view", "q=%25&page=99", "q=" + "x" * 999],
)
def test_odd_questions_get_an_answer(alice, deployment, client_of, query):
    assert client_of(alice).get(f"/d/{deployment.ref}/who/?{query}").status_code == 200


def test_roles_on_one_workspace_do_not_answer_for_the_organization_and_the_page_leads_there(
    alice, bob, workspace, client_of
):
    client = client_of(alice)
    query = "?permission=workspace.view"

    above = main_of(client.get(f"/o/nordhavn/who/{query}").content)
    here = main_of(client.get(f"/w/warehouse/who/{query}").content)

    assert "bob@example.org" not in above
    assert f"/w/warehouse/who/{query}" in above
    assert "bob@example.org" in here


def test_an_outsider_finds_nothing(charlie, deployment, client_of):
    client = client_of(charlie)

    for path in (f"/d/{deployment.ref}/who/", "/w/warehouse/who/", "/o/nordhavn/who/"):
        assert client.get(path).status_code == 404
