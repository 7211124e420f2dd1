"""People, Teams, roles, invitations and tokens, in the calls that the CLI makes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.access.models import Role
from apps.core.public_ids import public_id
from apps.organizations.models import ApiToken, Invitation, WorkspaceGrant
from apps.organizations.tokens.services import create_token
from tests.api.conftest import Program
from tests.conftest import role


def id_of(kind, row) -> str:
    return public_id(kind, row.pk)


@pytest.fixture
def program(alice, program_of) -> Program:
    return program_of(alice)


def test_people_are_listed_with_their_roles(program, bob, workspace, deployment):
    users = {one["username"]: one for one in program.get("/users").json()["users"]}

    assert users["alice@example.org"]["organizationRole"] == "ORGANIZATION_OWNER"
    held = users["bob@example.org"]["workspaceRoles"]
    assert held == [{"workspaceId": id_of("workspace", workspace), "role": "WORKSPACE_MEMBER"}]
    there = program.get("/users", workspaceId=id_of("workspace", workspace)).json()
    assert [one["username"] for one in there["users"]] == ["bob@example.org"]
    on_it = program.get("/users", deploymentId=id_of("deployment", deployment)).json()
    assert on_it["users"] == []


def test_a_complete_set_of_roles_is_carried_out(program, bob, workspace, deployment):
    path = f"/users/{id_of('user', bob)}"
    place, on = id_of("workspace", workspace), id_of("deployment", deployment)
    wanted = {
        "organizationRole": "ORGANIZATION_MEMBER",
        "workspaceRoles": [{"workspaceId": place, "role": "WORKSPACE_OPERATOR"}],
        "deploymentRoles": [{"deploymentId": on, "role": "DEPLOYMENT_ADMIN"}],
    }

    assert program.post(f"{path}/roles", wanted).json() == wanted
    assert bob.has_perm("deployment.update", deployment)
    # A list that is left out stays; an empty one takes all.
    program.post(f"{path}/roles", {"workspaceRoles": wanted["workspaceRoles"]})
    assert program.get(path).json()["deploymentRoles"] == wanted["deploymentRoles"]
    program.post(f"{path}/roles", {"workspaceRoles": [], "deploymentRoles": []})
    assert not WorkspaceGrant.objects.filter(user=bob).exists()


def test_a_person_is_removed_with_all_roles_but_not_the_last_owner(
    program, alice, bob, workspace, program_of
):
    member, path = program_of(bob), f"/users/{id_of('user', bob)}"

    assert member.delete(path).status_code == 403
    assert program.delete(path).status_code == 204

    assert program.get(path).status_code == 404
    assert not WorkspaceGrant.objects.filter(user=bob).exists()
    assert member.get("/workspaces").status_code == 401
    assert program.delete(f"/users/{id_of('user', alice)}").status_code == 409


def test_roles_that_stay_keep_their_end(program, bob, workspace):
    ends_at = timezone.now() + timedelta(days=3)
    WorkspaceGrant.objects.filter(user=bob).update(expires_at=ends_at)
    path = f"/users/{id_of('user', bob)}"

    read = program.get(path).json()
    program.post(f"{path}/roles", read)

    assert WorkspaceGrant.objects.get(user=bob).expires_at == ends_at


def test_no_one_gives_more_than_they_have_or_where_they_may_not(
    program_of, token_program, bob, alice, workspace
):
    owner = token_program(workspace, "owner")
    reader = program_of(bob)
    path = f"/users/{id_of('user', bob)}/roles"

    high = owner.post(path, {"organizationRole": "ORGANIZATION_OWNER"})
    refused = reader.post(path, {"organizationRole": "ORGANIZATION_OWNER"})
    unknown = owner.post(
        path, {"workspaceRoles": [{"workspaceId": id_of("workspace", workspace), "role": "KING"}]}
    )

    assert [high.status_code, refused.status_code, unknown.status_code] == [403, 403, 400]
    assert "WORKSPACE_OWNER" in unknown.json()["message"]
    assert owner.get(f"/users/{id_of('user', alice)}").status_code == 404, "not of this workspace"


def test_the_last_owner_stays(program, alice):
    answer = program.post(
        f"/users/{id_of('user', alice)}/roles", {"organizationRole": "ORGANIZATION_MEMBER"}
    )

    assert answer.status_code == 409
    assert "last owner" in answer.json()["message"]


def test_an_address_that_is_none_is_refused_with_an_example(program):
    refused = program.post("/invites", {"inviteeEmail": "bob", "role": "ORGANIZATION_MEMBER"})

    assert refused.status_code == 400
    assert refused.json()["fieldErrors"][0] == {
        "field": "inviteeEmail",
        "message": "Write it like name@example.com.",
        "code": "invalid",
    }


def test_a_person_is_invited_and_the_invitation_withdrawn(program, mailoutbox):
    body = {"inviteeEmail": "New@example.org", "role": "ORGANIZATION_MEMBER"}

    made = program.post("/invites", body)
    twice = program.post("/invites", body)
    gone = program.delete(f"/invites/{made.json()['inviteId']}")

    assert [made.status_code, twice.status_code, gone.status_code] == [200, 400, 204]
    assert made.json()["invitee"]["username"] == "new@example.org"
    assert Invitation.objects.get().revoked_at is not None
    assert program.delete(f"/invites/{made.json()['inviteId']}").status_code == 404


def test_teams_from_their_making_to_their_end(program, bob, workspace):
    team = program.post("/teams", {"name": "Data", "memberIds": [id_of("user", bob)]}).json()
    path = f"/teams/{team['id']}"
    place = id_of("workspace", workspace)

    program.post(path, {"name": "Data people", "description": "d"})
    roles = [{"workspaceId": place, "role": "WORKSPACE_AUTHOR"}]
    held = program.post(
        f"{path}/roles", {"organizationRole": "ORGANIZATION_MEMBER", "workspaceRoles": roles}
    )
    members = program.get(f"{path}/members").json()
    removed = program.delete(f"{path}/members/{id_of('user', bob)}")

    assert held.json()["workspaceRoles"] == roles
    assert [one["username"] for one in members["teamMembers"]] == ["bob@example.org"]
    assert removed.status_code == 204
    assert program.get("/teams", workspaceId=place).json()["teams"][0]["name"] == "Data people"
    assert program.post(f"{path}/members", {"memberIds": [id_of("user", bob)]}).status_code == 204
    (of_bob,) = program.get(f"/users/{id_of('user', bob)}/teams").json()["teams"]
    assert of_bob["id"] == team["id"]
    assert program.post(f"{path}/members", {"memberIds": ["c1"]}).status_code == 404
    assert program.delete(path).status_code == 204
    assert program.get(path).status_code == 404


def test_roles_are_listed_with_the_built_in_ones_if_asked(program, organization, alice):
    assert program.get("/roles").json()["defaultRoles"] == []

    found = program.get("/roles", includeDefaultRoles="true").json()["defaultRoles"]

    assert {"ORGANIZATION_BILLING_ADMIN", "WORKSPACE_ACCESSOR"} <= {one["name"] for one in found}
    assert len(found) == Role.objects.filter(organization=None).count()


@pytest.mark.parametrize("scope", ["organization", "workspace", "deployment"])
def test_a_token_is_made_used_rotated_and_revoked(
    program, organization, workspace, deployment, scope
):
    on = {"organization": organization, "workspace": workspace, "deployment": deployment}[scope]
    names = {"organization": "MEMBER", "workspace": "AUTHOR", "deployment": "ADMIN"}
    name = f"{scope.upper()}_{names[scope]}"
    body = {
        "name": "CI",
        "description": "d",
        "role": name,
        "scope": scope.upper(),
        "entityId": id_of(scope, on),
        "tokenExpiryPeriodInDays": 30,
    }
    asked = {} if scope == "organization" else {f"{scope}Id": id_of(scope, on)}

    made = program.post("/tokens", body).json()
    path = f"/tokens/{made['id']}"
    before = Program(made["token"], organization)
    listed = program.get("/tokens", **asked).json()["tokens"]
    worked = before.get("/v1/users/self").status_code
    after = Program(program.post(f"{path}/rotate").json()["token"], organization)

    assert made["roles"] == [
        {"entityId": id_of(scope, on), "entityType": scope.upper(), "role": name}
    ]
    assert (made["expiryPeriodInDays"], made["scope"], made["type"]) == (30, *[scope.upper()] * 2)
    assert [one["name"] for one in listed] == ["CI"]
    assert "token" not in listed[0]
    assert (worked, before.get("").status_code, after.get("").status_code) == (200, 401, 200)
    changed = program.post(path, {"name": "CD", "description": "e"}).json()
    assert (changed["name"], changed["description"]) == ("CD", "e")
    assert program.delete(path).status_code == 204
    assert after.get("").status_code == 401
    assert program.get(path).status_code == 404


def test_a_token_gets_another_role_on_the_same_thing_alone(program, workspace, alice):
    token, _ = create_token(
        actor=alice, on=workspace, name="CI", role=role("workspace", "member"), expires_at=None
    )
    path = f"/tokens/{id_of('token', token)}/roles"
    one = {"entityType": "WORKSPACE", "role": "WORKSPACE_AUTHOR"}

    here = program.post(path, {"roles": [{**one, "entityId": id_of("workspace", workspace)}]})
    elsewhere = program.post(path, {"roles": [{**one, "entityId": "c1"}]})

    assert here.json()["roles"][0]["role"] == "WORKSPACE_AUTHOR"
    assert elsewhere.status_code == 400


def test_no_token_makes_one_that_may_do_more(token_program, workspace):
    program = token_program(workspace, "operator")
    body = {"name": "x", "scope": "WORKSPACE", "entityId": id_of("workspace", workspace)}

    assert program.post("/tokens", {**body, "role": "WORKSPACE_OWNER"}).status_code == 403
    assert program.post("/tokens", {**body, "role": "WORKSPACE_AUTHOR"}).status_code == 200
    assert ApiToken.objects.filter(name="x").count() == 1


def test_the_audit_log_is_exported_by_lines(program, bob):
    program.post("/workspaces", {"name": "New"})

    answer = program.get("/audit-logs", startDate="2020-01-01T00:00:00Z")

    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert any('"workspace.created"' in line for line in lines)
    assert answer["Content-Type"] == "application/x-ndjson"
