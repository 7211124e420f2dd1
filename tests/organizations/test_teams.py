from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from guardian.utils import get_group_obj_perms_model

from apps.access.effective_grants import (
    effective_grants_on,
    load_effective_grants,
    people_allowed,
    roles_held,
)
from apps.access.grants.services import RightsExceeded, RoleNotApplicable, grant
from apps.access.grants.team_grants import revoke_from_team
from apps.access.queries import denials, permissions_held
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.deployments.models import Deployment, DeploymentTeamGrant
from apps.organizations.members.services import remove_person
from apps.organizations.models import (
    Organization,
    OrganizationGrant,
    OrganizationTeamGrant,
    Team,
    Workspace,
    WorkspaceTeamGrant,
)
from apps.organizations.teams.services import (
    TeamMirrored,
    add_to_team,
    assign_team_role,
    create_team,
    leave_teams,
    remove_from_team,
)
from tests.conftest import make_user, role


@pytest.fixture
def team(alice, organization) -> Team:
    return create_team(actor=alice, organization=organization, name="Data")


@pytest.fixture
def dora(organization) -> User:
    user = make_user("Dora")
    grant(actor=None, user=user, role=role("organization", "member"), on=organization)
    return user


def again(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_guardian_finds_the_tables_of_teams(db):
    assert get_group_obj_perms_model(Organization) is OrganizationTeamGrant
    assert get_group_obj_perms_model(Workspace) is WorkspaceTeamGrant
    assert get_group_obj_perms_model(Deployment) is DeploymentTeamGrant


def test_what_a_team_may_do_its_people_may_do(alice, team, dora, deployment):
    add_to_team(actor=alice, team=team, user=dora)

    assign_team_role(
        actor=alice, team=team, role=role("workspace", "author"), on=deployment.workspace
    )

    assert again(dora).has_perm("deployment.deploys.create", deployment)
    assert list(Deployment.objects.visible_to(dora)) == [deployment]
    remove_from_team(actor=alice, team=team, user=dora)
    assert not again(dora).has_perm("deployment.view", deployment)
    assert list(Deployment.objects.visible_to(dora)) == []


def test_rights_of_a_person_and_of_their_teams_add_up(alice, team, bob, deployment):
    add_to_team(actor=alice, team=team, user=bob)
    assign_team_role(actor=alice, team=team, role=role("deployment", "author"), on=deployment)

    held = permissions_held(user=again(bob), on=deployment)

    assert {"workspace.members.view", "deployment.airflow.run"} <= held
    ways = roles_held(user=bob, on=deployment)
    assert [(one.role.key, one.team) for one in ways] == [
        ("author", team),
        ("member", None),
        ("accessor", team),
        ("member", None),
    ]


def test_a_team_costs_no_query(alice, team, dora, deployment, django_assert_num_queries):
    add_to_team(actor=alice, team=team, user=dora)
    assign_team_role(actor=alice, team=team, role=role("deployment", "author"), on=deployment)
    found = Deployment.objects.select_related("workspace__organization").get(pk=deployment.pk)
    dora = again(dora)

    with django_assert_num_queries(1):
        assert dora.has_perm("deployment.view", found)
        assert not dora.has_perm("workspace.update", found.workspace)
    with django_assert_num_queries(1):
        assert list(Deployment.objects.visible_to(dora)) == [deployment]


def test_a_role_on_a_deployment_lets_a_team_enter_the_workspace(alice, team, dora, deployment):
    add_to_team(actor=alice, team=team, user=dora)

    assign_team_role(actor=alice, team=team, role=role("deployment", "viewer"), on=deployment)

    assert again(dora).has_perm("workspace.view", deployment.workspace)
    assert not again(dora).has_perm("workspace.members.view", deployment.workspace)


def test_an_ended_role_of_a_team_counts_no_more(alice, team, dora, workspace):
    add_to_team(actor=alice, team=team, user=dora)
    past = timezone.now() - timedelta(seconds=1)
    owner = role("workspace", "owner")

    assign_team_role(actor=alice, team=team, role=owner, on=workspace, expires_at=past)

    assert permissions_held(user=again(dora), on=workspace) >= {"organization.view"}
    assert not again(dora).has_perm("workspace.view", workspace)
    assert list(Workspace.objects.visible_to(dora)) == []


def test_who_has_left_the_organization_has_nothing_through_a_team(alice, team, dora, workspace):
    add_to_team(actor=alice, team=team, user=dora)
    assign_team_role(actor=alice, team=team, role=role("workspace", "owner"), on=workspace)

    OrganizationGrant.objects.filter(user=dora).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )

    assert permissions_held(user=again(dora), on=workspace) == frozenset()
    assert list(Workspace.objects.visible_to(dora)) == []
    assert roles_held(user=dora, on=workspace) == []
    assert people_allowed(permission="workspace.update", on=workspace) == [alice]


def test_a_removed_person_leaves_the_teams(alice, team, dora, organization):
    add_to_team(actor=alice, team=team, user=dora)

    remove_person(actor=alice, user=dora, on=organization)

    assert not team.group.user_set.exists()
    assert AuditEvent.objects.filter(action="team.member_removed").exists()


def test_teams_of_other_organizations_are_kept(alice, team, charlie, organization):
    elsewhere = Organization.objects.get(slug="elsewhere")
    other = create_team(actor=charlie, organization=elsewhere, name="Data")
    add_to_team(actor=charlie, team=other, user=charlie)

    leave_teams(actor=alice, user=charlie, organization=organization)

    assert other.group.user_set.get() == charlie


def test_people_of_other_organizations_come_into_no_team(alice, team, charlie):
    with pytest.raises(Invalid, match="Invite them first"):
        add_to_team(actor=alice, team=team, user=charlie)


def test_a_team_holds_nothing_in_another_organization(alice, charlie, team):
    other = Workspace.objects.get(slug="other")

    with pytest.raises(RoleNotApplicable):
        assign_team_role(actor=charlie, team=team, role=role("workspace", "member"), on=other)


def test_a_row_across_organizations_would_open_nothing(alice, team, dora, charlie):
    """Even a grant that no service would write counts for members of its own organization only."""
    other = Workspace.objects.get(slug="other")
    WorkspaceTeamGrant.objects.create(
        group=Group.objects.create(name="no team"),
        permission=role("workspace", "owner").permission,
        content_object=other,
    )
    dora.groups.set(Group.objects.all())

    assert not again(dora).has_perm("workspace.view", other)


def test_nobody_joins_a_team_with_rights_that_the_adder_lacks(alice, team, bob, dora, workspace):
    assign_team_role(actor=alice, team=team, role=role("workspace", "owner"), on=workspace)

    with pytest.raises(RightsExceeded):
        add_to_team(actor=bob, team=team, user=bob)
    with pytest.raises(RightsExceeded):
        assign_team_role(actor=bob, team=team, role=role("workspace", "member"), on=workspace)
    with pytest.raises(RightsExceeded):
        revoke_from_team(actor=bob, team=team, on=workspace)


def test_people_of_a_mirrored_team_are_not_changed_here(alice, organization, dora):
    team = create_team(
        actor=alice, organization=organization, name="Sales", source=Team.Source.MIRRORED
    )

    with pytest.raises(TeamMirrored, match="identity provider"):
        add_to_team(actor=alice, team=team, user=dora)


def test_an_owner_through_a_team_is_not_the_owner_who_must_stay(
    alice, team, dora, organization, client_of
):
    add_to_team(actor=alice, team=team, user=dora)
    assign_team_role(actor=alice, team=team, role=role("organization", "owner"), on=organization)

    answer = client_of(alice).post(f"/o/nordhavn/members/{alice.pk}/", {"role": "member"})

    assert answer.status_code == 422
    assert b"last owner" in answer.content


def test_deleting_a_team_takes_its_roles_and_says_so(alice, team, dora, workspace, client_of):
    add_to_team(actor=alice, team=team, user=dora)
    assign_team_role(actor=alice, team=team, role=role("workspace", "author"), on=workspace)
    client = client_of(alice)
    url = f"/o/nordhavn/teams/{team.pk}/delete/"

    page = client.get(url).content.decode()
    assert "Workspace Author on Warehouse" in page
    assert "1 person loses" in page
    refused = client.post(url, {"confirm": "data"})
    assert refused.status_code == 422
    answer = client.post(url, {"confirm": "Data"})

    assert answer.status_code == 302
    assert not Team.objects.exists()
    assert not Group.objects.exists()
    assert not WorkspaceTeamGrant.objects.exists()
    assert not again(dora).has_perm("workspace.view", workspace)
    revoked = AuditEvent.objects.get(action="role.revoked")
    assert revoked.changes == {"role of the Team Data": ["Workspace Author", None]}
    deleted = AuditEvent.objects.get(action="team.deleted")
    assert deleted.changes["Team Data, members"] == [["dora@example.org"], None]


def test_the_pages_from_making_a_team_to_its_role(alice, organization, workspace, dora, client_of):
    client = client_of(alice)

    made = client.post("/o/nordhavn/teams/new/", {"name": " Data  science ", "description": ""})
    team = Team.objects.get()
    assert made["Location"] == f"/o/nordhavn/teams/{team.pk}/"
    assert team.name == "Data science"
    client.post(f"/o/nordhavn/teams/{team.pk}/", {"email": "DORA@example.org"})
    given = client.post(
        "/w/warehouse/teams/",
        {
            "team": team.pk,
            "role": "operator",
            "until": "day",
        },
    )

    assert given.status_code == 302
    assert again(dora).has_perm("deployment.update", workspace)
    assert b"Expires <time" in client.get("/w/warehouse/teams/").content
    assert b"Data science" in client.get("/o/nordhavn/teams/").content
    page = client.get(f"/w/warehouse/members/{dora.pk}/").content
    assert b"via Team Data science" in page
    client.post(f"/w/warehouse/teams/{team.pk}/take/")
    assert not again(dora).has_perm("workspace.view", workspace)
    client.post(f"/o/nordhavn/teams/{team.pk}/members/{dora.pk}/remove/")
    assert not team.group.user_set.exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/o/nordhavn/teams/new/", {"name": "data"}),
        ("/o/nordhavn/teams/new/", {"name": ""}),
        ("/o/nordhavn/teams/new/", {"name": "x" * 81}),
        ("/w/warehouse/teams/", {"team": "x", "role": "member"}),
        ("/w/warehouse/teams/", {"team": "9" * 40, "role": "member"}),
        ("/o/nordhavn/team-roles/", {"team": "", "role": "owner"}),
    ],
)
def test_bad_input_gets_a_sentence(alice, team, workspace, client_of, path, body):
    answer = client_of(alice).post(path, body)

    assert answer.status_code == 422


@pytest.mark.parametrize("email", ["", "x", "nobody@example.org", "charlie@example.org"])
def test_an_address_that_is_not_in_the_organization_is_refused(
    alice, team, charlie, client_of, email
):
    answer = client_of(alice).post(f"/o/nordhavn/teams/{team.pk}/", {"email": email})

    assert answer.status_code == 422
    assert not team.group.user_set.exists()


def test_a_member_sees_teams_and_changes_none(alice, bob, team, workspace, client_of):
    client = client_of(bob)

    assert client.get(f"/o/nordhavn/teams/{team.pk}/").status_code == 200
    assert client.post("/o/nordhavn/teams/new/", {"name": "Mine"}).status_code == 403
    assert client.post(f"/o/nordhavn/teams/{team.pk}/", {"email": bob.email}).status_code == 403


def test_an_outsider_finds_no_team(alice, charlie, team, client_of):
    client = client_of(charlie)

    assert client.get(f"/o/nordhavn/teams/{team.pk}/").status_code == 404
    assert client.get(f"/o/elsewhere/teams/{team.pk}/").status_code == 404
    assert client.post(f"/o/elsewhere/teams/{team.pk}/delete/").status_code == 404


def test_the_access_page_names_the_team_and_takes_its_role(
    alice, team, dora, deployment, client_of
):
    add_to_team(actor=alice, team=team, user=dora)
    client = client_of(alice)
    url = f"/d/{deployment.ref}/access/"

    answer = client.post(url, {"team": team.pk, "role": "author"})

    assert answer.status_code == 302
    rows = load_effective_grants(
        on=deployment,
        rows=effective_grants_on(permission="deployment.view", on=deployment, search="dora"),
    )
    assert [(one.user, one.team, one.role.key) for one in rows] == [(dora, team, "author")]
    assert b"via Team Data" in client.get(url).content
    held = DeploymentTeamGrant.objects.get()
    client.post(f"{url}take/", {"team": held.pk})
    assert not DeploymentTeamGrant.objects.exists()
    assert client.post(f"{url}take/", {"team": "9" * 40}).status_code == 404


def test_those_who_manage_through_a_team_are_named_in_a_refusal(
    alice, team, dora, deployment, django_assert_num_queries
):
    add_to_team(actor=alice, team=team, user=dora)
    assign_team_role(actor=alice, team=team, role=role("deployment", "admin"), on=deployment)
    found = Deployment.objects.select_related("workspace__organization").get()

    with django_assert_num_queries(1):
        (denial,) = denials(permissions=["deployment.update"], on=found)

    assert denial.grantors == (dora, alice)


def test_the_search_finds_each_member_once_per_way(alice, team, organization, workspace):
    for number in range(3):
        person = make_user(f"p{number}")
        grant(actor=None, user=person, role=role("organization", "member"), on=organization)
        add_to_team(actor=alice, team=team, user=person)
    assign_team_role(actor=alice, team=team, role=role("workspace", "author"), on=workspace)

    rows = effective_grants_on(permission="deployment.view", on=workspace, search="p1@")

    assert [row[4] for row in rows] == ["p1"]
    assert effective_grants_on(permission="deployment.view", on=workspace).count() == 4
