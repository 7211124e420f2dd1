"""What the Terraform provider sends for its resources, and that it reads the same back, because it
takes any difference for a failure. Lists are never null, secrets may be blank, times stay.
"""

from typing import Any

import pytest
from django.test import Client

from apps.core.public_ids import public_id
from apps.deployments.models import Revision
from tests.clusters.material import registered

PLATFORM, IAM, LABS = "/platform/v1beta1", "/iam/v1beta1", "/labs/v1"


class Provider:
    """Calls below the provider's own prefixes; its updates are POST and must be answered 200."""

    def __init__(self, program: Any) -> None:
        self.client: Client = program.client
        self.root = program.root

    def post(self, prefix: str, path: str, body: Any) -> dict[str, Any]:
        answer = self.client.post(self._full(prefix, path), body, content_type="application/json")
        assert answer.status_code == 200, answer.content
        assert answer["Content-Type"].startswith("application/json")
        return dict(answer.json())

    def get(self, prefix: str, path: str) -> Any:
        return self.client.get(self._full(prefix, path))

    def delete(self, prefix: str, path: str) -> None:
        assert self.client.delete(self._full(prefix, path)).status_code == 204
        assert self.get(prefix, path).status_code == 404, "Terraform reads it once more"

    def _full(self, prefix: str, path: str) -> str:
        return self.root.replace("/v1", prefix, 1) + path


@pytest.fixture
def provider(alice, plane, program_of) -> Provider:
    return Provider(program_of(alice))


def test_a_workspace_from_plan_to_destroy(provider):
    sent = {"name": "tf", "description": "By Terraform", "cicdEnforcedDefault": False}

    made = provider.post(PLATFORM, "/workspaces", sent)
    changed = provider.post(
        PLATFORM, f"/workspaces/{made['id']}", {**sent, "cicdEnforcedDefault": True}
    )

    assert sent.items() <= made.items()
    assert changed["cicdEnforcedDefault"]
    assert provider.get(PLATFORM, f"/workspaces/{made['id']}").json() == changed
    provider.delete(PLATFORM, f"/workspaces/{made['id']}")


@pytest.mark.parametrize("is_on_machine", [False, True])
def test_a_deployment_on_a_cluster_comes_back_as_it_was_planned(
    provider, request, organization, workspace, is_on_machine
):
    machine = request.getfixturevalue("cluster") if is_on_machine else None
    cluster = machine or registered(organization, has_keda=True)
    queue = {
        "name": "default",
        "isDefault": True,
        "astroMachine": "A5",
        "minWorkerCount": 1,
        "maxWorkerCount": 3,
        "workerConcurrency": 5,
    }
    planned = {
        "name": "tf-etl",
        "description": "",
        "type": "DEDICATED",
        "clusterId": public_id("cluster", cluster.pk),
        "workspaceId": public_id("workspace", workspace.pk),
        "contactEmails": [],
        "executor": "CELERY",
        "isCicdEnforced": False,
        "isDagDeployEnabled": True,
        "isDevelopmentMode": False,
        "isHighAvailability": False,
        "schedulerSize": "SMALL",
    }
    options = provider.get(
        PLATFORM, "/deployment-options?deploymentType=DEDICATED&executor=CELERY&cloudProvider=AWS"
    ).json()
    sent = {
        **planned,
        "astroRuntimeVersion": options["runtimeReleases"][0]["version"],
        "workerQueues": [queue],
        "environmentVariables": [
            {"key": "OPEN", "value": "1", "isSecret": False},
            {"key": "SHUT", "value": "hush", "isSecret": True},
        ],
        "scalingSpec": {},
    }

    made = provider.post(PLATFORM, "/deployments", sent)
    # As if it had been made a while ago: what is sent once more is no news of a variable.
    revision = Revision.objects.get(deployment__name="tf-etl")
    for one in revision.config["variables"]:
        one["set_at"] = "2026-01-02T03:04:05+00:00"
    revision.save(update_fields=["config"])
    path = f"/deployments/{made['id']}"
    read = provider.get(PLATFORM, path).json()
    assert provider.get(PLATFORM, path).json() == read
    more = [*sent["environmentVariables"], {"key": "MORE", "value": "2", "isSecret": False}]
    same = provider.post(PLATFORM, path, {**sent, "environmentVariables": more})
    without = provider.post(PLATFORM, path, {**sent, "environmentVariables": []})

    for body in (made, read, same):
        assert planned.items() <= body.items()
        (got,) = body["workerQueues"]
        assert queue.items() <= got.items()
        assert bool(got["podCpu"]) is not is_on_machine
        assert "scalingSpec" not in body
    times = [one["updatedAt"][:10] for one in same["environmentVariables"]]
    assert times[:2] == ["2026-01-02"] * 2
    assert times[2] > "2026-01-02"
    assert [one["value"] for one in read["environmentVariables"]] == ["1", ""]
    assert without["environmentVariables"] == []
    assert provider.get(PLATFORM, "/deployments?limit=1000").json()["totalCount"] == 1


def test_a_team_that_is_given_no_role_is_told_the_one_of_every_member(provider):
    made = provider.post(IAM, "/teams", {"name": "tf-team", "description": "x"})
    wanted = {"organizationRole": "ORGANIZATION_MEMBER"}

    assert provider.post(IAM, f"/teams/{made['id']}/roles", wanted) == wanted


def test_teams_their_members_and_roles(provider, bob, workspace):
    person, place = public_id("user", bob.pk), public_id("workspace", workspace.pk)
    body = {"name": "tf-team", "description": "x", "organizationRole": "ORGANIZATION_MEMBER"}
    roles = [{"workspaceId": place, "role": "WORKSPACE_AUTHOR"}]

    assert provider.get(PLATFORM, "").json()["isScimEnabled"] is False
    made = provider.post(IAM, "/teams", {**body, "memberIds": [person]})
    path = f"/teams/{made['id']}"
    provider.post(
        IAM,
        f"{path}/roles",
        {"organizationRole": body["organizationRole"], "workspaceRoles": roles},
    )
    read = provider.get(IAM, path).json()
    members = provider.get(IAM, f"{path}/members?limit=1000").json()["teamMembers"]

    assert body.items() <= read.items()
    assert read["workspaceRoles"] == roles
    assert read["isIdpManaged"] is False
    assert [one["userId"] for one in members] == [person]
    provider.delete(IAM, path)


def test_roles_of_a_person_and_an_invitation(provider, bob, workspace):
    path = f"/users/{public_id('user', bob.pk)}"
    roles = [{"workspaceId": public_id("workspace", workspace.pk), "role": "WORKSPACE_OPERATOR"}]
    wanted = {"organizationRole": "ORGANIZATION_MEMBER", "workspaceRoles": roles}

    assert wanted.items() <= provider.post(IAM, f"{path}/roles", wanted).items()
    assert wanted.items() <= provider.get(IAM, path).json().items()
    none = {"organizationRole": "ORGANIZATION_MEMBER", "workspaceRoles": [], "deploymentRoles": []}
    assert "workspaceRoles" not in provider.post(IAM, f"{path}/roles", none)
    invited = provider.post(
        IAM, "/invites", {"inviteeEmail": "tf@example.org", "role": "ORGANIZATION_MEMBER"}
    )
    pending = provider.get(IAM, f"/users/{invited['invitee']['id']}").json()
    assert (pending["status"], pending["organizationRole"]) == ("PENDING", "ORGANIZATION_MEMBER")
    gone = provider.client.delete(provider._full(IAM, f"/invites/{invited['inviteId']}"))
    assert gone.status_code == 204


def test_a_token_is_made_by_the_older_spelling_and_keeps_its_role(provider, workspace):
    place = public_id("workspace", workspace.pk)
    role = {"entityId": place, "entityType": "WORKSPACE", "role": "WORKSPACE_AUTHOR"}

    made = provider.post(
        IAM,
        "/tokens",
        {
            "name": "tf-token",
            "description": "x",
            "type": "WORKSPACE",
            "role": "WORKSPACE_AUTHOR",
            "entityId": place,
            "tokenExpiryPeriodInDays": 30,
        },
    )
    path = f"/tokens/{made['id']}"
    read = provider.get(IAM, path).json()

    assert made["token"]
    assert (read["type"], read["roles"]) == ("WORKSPACE", [role])
    assert "token" not in read
    provider.post(IAM, f"{path}/roles", {"roles": [{**role, "role": "WORKSPACE_MEMBER"}]})
    renamed = provider.post(IAM, path, {"name": "tf-two", "description": "y"})
    assert (renamed["name"], renamed["roles"][0]["role"]) == ("tf-two", "WORKSPACE_MEMBER")
    provider.delete(IAM, path)


def test_a_custom_role_takes_no_list_for_everywhere(provider):
    body = {
        "name": "tf-role",
        "description": "x",
        "scopeType": "DEPLOYMENT",
        "permissions": ["deployment.deploys.view", "deployment.view"],
    }

    made = provider.post(IAM, "/roles", {**body, "restrictedWorkspaceIds": None})

    assert body.items() <= {**made, "permissions": sorted(made["permissions"])}.items()
    assert made["restrictedWorkspaceIds"] == []
    provider.delete(IAM, f"/roles/{made['id']}")


def test_several_alerts_at_once_and_their_channel(provider, deployment):
    workspace, on = deployment.workspace, public_id("deployment", deployment.pk)
    channel = {
        "name": "tf-channel",
        "type": "EMAIL",
        "entityType": "WORKSPACE",
        "entityId": public_id("workspace", workspace.pk),
        "isShared": False,
    }
    definition = {"recipients": ["a@example.org"]}
    made = provider.post(PLATFORM, "/notification-channels", {**channel, "definition": definition})
    alert = {"type": "DAG_FAILURE", "severity": "INFO", "entityType": "DEPLOYMENT", "entityId": on}
    rules = {
        "properties": {"deploymentId": on},
        "patternMatches": [{"entityType": "DAG_ID", "operatorType": "IS", "values": ["*", "test"]}],
    }
    body = {**alert, "rules": rules, "notificationChannelIds": [made["id"]]}

    created = provider.post(
        LABS, "/create-alerts", {"alerts": [{**body, "name": name} for name in "ab"]}
    )["alerts"]
    ids = [one["id"] for one in created]
    found = provider.get(LABS, f"/alerts?alertIds={ids[0]}&alertIds={ids[1]}").json()

    assert channel.items() <= made.items()
    assert made["definition"] == definition
    assert found["alerts"] == created
    for one in created:
        assert alert.items() <= one.items()
        assert one["rules"] == rules
    done = provider.client.post(
        provider._full(LABS, "/delete-alerts"), {"alertIds": ids}, content_type="application/json"
    )
    assert done.status_code == 204
    provider.delete(PLATFORM, f"/notification-channels/{made['id']}")
