from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from apps.access.grants.services import RightsExceeded, RoleNotApplicable, grant
from apps.access.models import Role
from apps.access.queries import permissions_held, roles_for
from apps.access.roles.catalogue import PERMISSIONS, SCOPES, grouped
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid, Refused
from apps.deployments.models import Deployment, DeploymentGrant
from apps.organizations.invitations.services import accept_invitation, invite
from apps.organizations.members.services import assign_role
from apps.organizations.models import Invitation, Organization, Workspace, WorkspaceGrant
from apps.organizations.roles.services import RoleHeld, create_role, delete_role, update_role
from apps.organizations.teams.services import assign_team_role, create_team
from apps.organizations.tokens.services import create_token
from tests.conftest import make_user, role

DEPLOYING = ["deployment.view", "deployment.deploys.view", "deployment.deploys.create"]


def make_role(actor: User, organization: Organization, **overrides) -> Role:
    fields = {
        "scope": "deployment",
        "name": "Deployer",
        "description": "Delivers code and nothing else.",
        "permissions": DEPLOYING,
        "is_limited": False,
        "workspaces": [],
    }
    return create_role(actor=actor, organization=organization, **{**fields, **overrides})


def again(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_every_permission_has_a_group_and_keeps_its_order():
    arranged = [one for of_group in grouped(PERMISSIONS).values() for one in of_group]

    assert sorted(arranged) == sorted(PERMISSIONS)
    assert grouped(["deployment.airflow.run", "deployment.deploys.view"]) == {
        "Code": ["deployment.deploys.view"],
        "Airflow": ["deployment.airflow.run"],
    }


def test_a_custom_role_is_held_as_a_built_in_one_is(alice, bob, organization, deployment):
    deployer = make_role(alice, organization)

    assign_role(actor=alice, user=bob, role=deployer, on=deployment)

    held = again(bob)
    assert held.has_perm("deployment.deploys.create", deployment)
    assert not held.has_perm("deployment.airflow.run", deployment)
    event = AuditEvent.objects.get(action="role.created")
    assert "deployment.deploys.create" in event.changes["role Deployer, permissions"][1]


def test_editing_takes_effect_and_rewrites_no_grant(alice, bob, organization, deployment):
    deployer = make_role(alice, organization)
    assign_role(actor=alice, user=bob, role=deployer, on=deployment)
    before = DeploymentGrant.objects.values().get(user=bob)

    update_role(
        actor=alice,
        role=deployer,
        name="Deployer",
        description="",
        permissions=[*DEPLOYING, "deployment.update"],
        is_limited=False,
        workspaces=[],
    )

    assert again(bob).has_perm("deployment.update", deployment)
    assert DeploymentGrant.objects.values().get(user=bob) == before


@pytest.mark.parametrize("scope", SCOPES)
def test_a_role_always_sees_what_it_is_held_on(alice, organization, scope):
    made = make_role(alice, organization, scope=scope, permissions=[])

    assert made.permissions == [f"{scope}.view"]


@pytest.mark.parametrize(
    ("scope", "permission"),
    [
        ("deployment", "workspace.update"),
        ("deployment", "organization.view"),
        ("workspace", "organization.audit.view"),
        ("organization", "no.such.permission"),
    ],
)
def test_a_role_holds_nothing_above_its_scope(alice, organization, scope, permission):
    with pytest.raises(Invalid):
        make_role(alice, organization, scope=scope, permissions=[permission])


def test_a_permission_is_refused_without_the_one_it_needs(alice, organization):
    message = "“Deploy code and roll back” needs “View deploys”."

    with pytest.raises(Invalid, match=message) as refusal:
        make_role(alice, organization, permissions=["deployment.deploys.create"])
    assert refusal.value.field == "permissions"
    deployer = make_role(alice, organization)
    with pytest.raises(Invalid, match=message):
        update_role(
            actor=alice,
            role=deployer,
            name="Deployer",
            description="",
            permissions=["deployment.view", "deployment.deploys.create"],
            is_limited=False,
            workspaces=[],
        )

    assert Role.objects.get(pk=deployer.pk).permissions == sorted(DEPLOYING)


def test_the_form_names_every_permission_and_what_it_needs(alice, organization, client_of):
    answer = client_of(alice).post(
        "/o/nordhavn/roles/new/workspace/",
        {
            "name": "Night shift",
            "permissions": ["deployment.logs.view", "deployment.update", "deployment.airflow.run"],
        },
    )

    assert answer.status_code == 422
    (message,) = answer.context["form"].errors["permissions"]
    assert message == (
        "“Edit configuration, worker queues and environment variables” and “View component logs” "
        "need “View the Deployment, its health and configuration”. "
        "“Trigger, pause and clear DAGs in Airflow” needs “View Airflow”."
    )
    assert not Role.objects.filter(name="Night shift").exists()


def test_a_role_saved_before_prerequisites_can_be_completed(alice, organization):
    deployer = make_role(alice, organization)
    Role.objects.filter(pk=deployer.pk).update(permissions=["deployment.deploys.create"])
    deployer.refresh_from_db()

    update_role(
        actor=alice,
        role=deployer,
        name="Deployer",
        description="",
        permissions=DEPLOYING,
        is_limited=False,
        workspaces=[],
    )

    assert deployer.permissions == sorted(DEPLOYING)


def test_nobody_writes_a_role_with_rights_they_lack(alice, bob, organization):
    writer = make_role(
        alice, organization, scope="organization", permissions=["organization.roles.manage"]
    )
    deployer = make_role(alice, organization, name="Deployer")
    assign_role(actor=alice, user=bob, role=writer, on=organization)

    with pytest.raises(RightsExceeded):
        make_role(again(bob), organization, name="Mine")
    with pytest.raises(RightsExceeded):
        update_role(
            actor=again(bob),
            role=deployer,
            name="Deployer",
            description="",
            permissions=[],
            is_limited=False,
            workspaces=[],
        )
    with pytest.raises(RightsExceeded):
        delete_role(actor=again(bob), role=deployer)


def test_the_pages_offer_only_what_the_writer_has(alice, bob, organization, client_of):
    writer = make_role(
        alice, organization, scope="organization", permissions=["organization.roles.manage"]
    )
    assign_role(actor=alice, user=bob, role=writer, on=organization)
    client = client_of(bob)

    page = client.get("/o/nordhavn/roles/new/organization/").content.decode()
    assert "organization.roles.manage" in page
    assert "organization.clusters.manage" not in page
    answer = client.post(
        "/o/nordhavn/roles/new/organization/",
        {"name": "Mine", "permissions": ["organization.clusters.manage"]},
    )

    assert answer.status_code == 422
    assert not Role.objects.filter(name="Mine").exists()


def test_a_role_of_another_organization_is_not_given(alice, charlie, organization, workspace, bob):
    elsewhere = Organization.objects.get(slug="elsewhere")
    foreign = make_role(charlie, elsewhere, scope="workspace", name="Foreign")

    with pytest.raises(RoleNotApplicable):
        assign_role(actor=alice, user=bob, role=foreign, on=workspace)
    assert foreign not in roles_for(on=workspace)


def test_a_role_of_another_organization_has_no_page(alice, charlie, client_of):
    foreign = make_role(charlie, Organization.objects.get(slug="elsewhere"))
    client = client_of(alice)

    for page in ("", "edit/", "delete/"):
        assert client.get(f"/o/nordhavn/roles/{foreign.pk}/{page}").status_code == 404


def test_a_limited_role_is_held_in_its_workspaces_only(
    alice, bob, organization, deployment, make_deployment
):
    second = Workspace.objects.create(organization=organization, name="Second", slug="second")
    limited = make_role(alice, organization, is_limited=True, workspaces=[second])

    with pytest.raises(RoleNotApplicable, match="limited to other workspaces"):
        assign_role(actor=alice, user=bob, role=limited, on=deployment)
    assert limited not in roles_for(on=deployment)
    there = make_deployment(workspace=second)
    assert limited in roles_for(on=there)
    assign_role(actor=alice, user=bob, role=limited, on=there)


def test_a_limit_without_workspaces_left_is_not_no_limit(alice, bob, organization, deployment):
    second = Workspace.objects.create(organization=organization, name="Second", slug="second")
    limited = make_role(alice, organization, is_limited=True, workspaces=[second])

    second.delete()

    with pytest.raises(RoleNotApplicable):
        assign_role(actor=alice, user=bob, role=limited, on=deployment)


def test_a_limit_is_refused_while_the_role_is_held_elsewhere(alice, bob, organization, deployment):
    second = Workspace.objects.create(organization=organization, name="Second", slug="second")
    deployer = make_role(alice, organization)
    assign_role(actor=alice, user=bob, role=deployer, on=deployment)

    with pytest.raises(RoleHeld, match="Bob on etl-prod"):
        update_role(
            actor=alice,
            role=deployer,
            name="Deployer",
            description="",
            permissions=DEPLOYING,
            is_limited=True,
            workspaces=[second],
        )


def test_a_workspace_of_another_organization_limits_nothing(alice, charlie, organization):
    other = Workspace.objects.get(slug="other")

    with pytest.raises(Invalid):
        make_role(alice, organization, is_limited=True, workspaces=[other])


def test_a_held_role_is_deleted_only_with_another_in_its_place(
    alice, bob, organization, deployment, client_of
):
    deployer = make_role(alice, organization)
    team = create_team(actor=alice, organization=organization, name="Data")
    in_a_week = timezone.now() + timedelta(days=7)
    assign_role(actor=alice, user=bob, role=deployer, on=deployment, expires_at=in_a_week)
    assign_team_role(actor=alice, team=team, role=deployer, on=deployment)
    token, _ = create_token(actor=alice, on=deployment, name="CI", role=deployer, expires_at=None)
    client = client_of(alice)
    url = f"/o/nordhavn/roles/{deployer.pk}/delete/"

    page = client.get(url).content.decode()
    assert "Bob on etl-prod" in page
    assert "Team Data on etl-prod" in page
    assert "API token CI on etl-prod" in page
    with pytest.raises(RoleHeld):
        delete_role(actor=alice, role=deployer)
    assert client.post(url, {}).status_code == 422
    answer = client.post(url, {"instead": "viewer"})

    assert answer.status_code == 302
    held = DeploymentGrant.objects.get(user=bob)
    assert (held.role.key, held.expires_at) == ("viewer", in_a_week)
    assert team.group.deploymentteamgrant_set.get().role.key == "viewer"
    assert DeploymentGrant.objects.get(user=token.user).role.key == "viewer"
    assert not Role.objects.filter(pk=deployer.pk).exists()
    assert not Permission.objects.filter(codename__contains=deployer.key).exists()


def test_a_role_that_nobody_holds_is_deleted_at_once(alice, organization, client_of):
    deployer = make_role(alice, organization)
    client = client_of(alice)

    assert b"no one loses access" in client.get(f"/o/nordhavn/roles/{deployer.pk}/delete/").content
    client.post(f"/o/nordhavn/roles/{deployer.pk}/delete/")

    assert not Role.objects.filter(organization=organization).exists()
    assert AuditEvent.objects.filter(action="role.deleted").exists()


def test_an_ended_holder_does_not_keep_a_role(alice, bob, organization, workspace):
    made = make_role(alice, organization, scope="workspace")
    past = timezone.now() - timedelta(seconds=1)
    grant(actor=None, user=bob, role=made, on=workspace, expires_at=past)

    delete_role(actor=alice, role=made)

    assert not WorkspaceGrant.objects.filter(user=bob).exists()


def test_an_invitation_offers_a_custom_role_and_follows_its_replacement(
    alice, organization, workspace
):
    made = make_role(alice, organization, scope="workspace")
    invite(
        actor=alice,
        organization=organization,
        email="guest@example.org",
        workspace=workspace,
        workspace_role=made.key,
    )
    with pytest.raises(RoleHeld):
        delete_role(actor=alice, role=made)

    delete_role(actor=alice, role=made, instead=role("workspace", "member"))

    guest = make_user("Guest")
    accept_invitation(user=guest, invitation=Invitation.objects.get())
    assert WorkspaceGrant.objects.get(user=guest).role.key == "member"


@pytest.mark.parametrize("name", ["deployer", "DEPLOYER ", "Deployment Admin", "workspace owner"])
def test_names_are_unique_and_never_those_of_built_in_roles(alice, organization, name):
    make_role(alice, organization)

    with pytest.raises(Invalid, match="already"):
        make_role(alice, organization, name=name)


def test_built_in_roles_are_not_changed(alice, organization, client_of):
    viewer = role("deployment", "viewer")

    with pytest.raises(Refused):
        delete_role(actor=alice, role=viewer)
    client = client_of(alice)
    assert client.get(f"/o/nordhavn/roles/{viewer.pk}/").status_code == 200
    assert client.get(f"/o/nordhavn/roles/{viewer.pk}/edit/").status_code == 404
    assert client.post(f"/o/nordhavn/roles/{viewer.pk}/delete/").status_code == 404


def test_the_pages_from_a_template_to_a_holder(alice, bob, organization, workspace, client_of):
    client = client_of(alice)

    page = client.get("/o/nordhavn/roles/new/workspace/?from=Author").content.decode()
    assert 'value="deployment.airflow.run" id="id_permissions' in page.replace("  ", " ")
    assert page.count("checked") >= 7
    made = client.post(
        "/o/nordhavn/roles/new/workspace/",
        {
            "name": "Night shift",
            "description": "Runs DAGs at night.",
            "permissions": ["deployment.view", "deployment.airflow.view", "deployment.airflow.run"],
            "is_limited": "on",
            "workspaces": [workspace.pk],
        },
    )
    shift = Role.objects.get(name="Night shift")
    assert made["Location"] == f"/o/nordhavn/roles/{shift.pk}/"
    given = client.post(f"/w/warehouse/members/{bob.pk}/", {"role": shift.key, "until": "week"})
    assert given.status_code == 302
    page = client.get(f"/o/nordhavn/roles/{shift.pk}/").content.decode()
    assert "Trigger, pause and clear DAGs in Airflow" in page
    assert "bob@example.org" in page
    assert b"Night shift" in client.get("/o/nordhavn/roles/").content
    assert permissions_held(user=again(bob), on=workspace) >= {"deployment.airflow.run"}


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "x" * 81},
        {"name": "Good", "permissions": ["workspace.update"]},
        {"name": "Good", "permissions": ["nonsense"]},
        {"name": "Good", "is_limited": "on"},
        {"name": "Good", "is_limited": "on", "workspaces": ["9" * 40]},
        {"name": "Good", "is_limited": "on", "workspaces": ["x"]},
    ],
)
def test_bad_input_gets_a_sentence(alice, workspace, client_of, body):
    answer = client_of(alice).post("/o/nordhavn/roles/new/deployment/", body)

    assert answer.status_code == 422
    assert not Role.objects.exclude(organization=None).exists()


def test_unknown_scopes_and_templates_are_harmless(alice, organization, client_of):
    client = client_of(alice)

    assert client.get("/o/nordhavn/roles/new/system/").status_code == 404
    assert client.get("/o/nordhavn/roles/new/deployment/?from=../x").status_code == 200


def test_people_hidden_from_the_reader_are_not_named_as_holders(
    alice, bob, organization, client_of
):
    hidden = Workspace.objects.create(organization=organization, name="Hidden", slug="hidden")
    made = make_role(alice, organization, scope="workspace")
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "member"), on=organization)
    assign_role(actor=alice, user=dora, role=made, on=hidden)

    assert b"Dora" not in client_of(bob).get(f"/o/nordhavn/roles/{made.pk}/").content


def test_a_disabled_holder_of_a_custom_role_may_do_nothing(alice, bob, organization, deployment):
    assign_role(actor=alice, user=bob, role=make_role(alice, organization), on=deployment)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert not again(bob).has_perm("deployment.view", deployment)
    assert list(Deployment.objects.visible_to(again(bob))) == []
