"""Git by programs: repositories, what Deployments take from them, branches, deploy rules."""

import pytest

from apps.audit.models import AuditEvent
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment
from apps.deploys.git import tasks
from apps.deploys.models import BranchRule, GitRepository, GitSource

SSH, HTTPS = "git@github.com:acme/dags.git", "https://gitlab.com/acme/dags.git"


@pytest.fixture(autouse=True)
def looked_at(monkeypatch) -> list[str]:
    """Look at no repository; say which would have been."""
    asked: list[str] = []
    monkeypatch.setattr(tasks, "look_now", lambda repository: asked.append(repository.url))
    return asked


@pytest.fixture
def root(workspace) -> str:
    return f"/workspaces/{public_id('workspace', workspace.pk)}/git-repositories"


def test_a_program_connects_by_ssh_and_gets_the_deploy_key(alice, bob, root, program_of):
    program = program_of(alice)

    made = program.post(root, {"url": SSH})

    assert made.status_code == 200, made.content
    body, stored = made.json(), GitRepository.objects.get()
    assert body["deployKey"] == stored.public_key
    assert (body["provider"], body["deploymentCount"], body["hasToken"]) == ("github", 0, False)
    assert program.get(root).json()["repositories"] == [body]
    renewed = program.post(f"{root}/{body['id']}", {"renewsDeployKey": True}).json()
    assert renewed["deployKey"] != body["deployKey"]
    again = program.post(root, {"url": SSH})
    assert (again.status_code, again.json()["fieldErrors"][0]["field"]) == (400, "url")
    assert program_of(bob).get(root).status_code == 403


def test_no_token_of_a_repository_comes_out_and_its_webhook_secret_does_once(
    alice, root, program_of
):
    program = program_of(alice)
    made = program.post(root, {"url": HTTPS, "token": "glpat-hush"})
    path = f"{root}/{made.json()['id']}"

    kept = program.post(path, {"username": "bot"})
    states = program.post(f"{path}/state-token", {"token": "state-hush"})
    secret = program.post(f"{path}/webhook").json()["secret"]
    read = program.get(path)

    assert read.json()["hasToken"]
    assert read.json()["reportsStates"]
    assert read.json()["hasWebhook"]
    assert read.json()["webhookUrl"].startswith("http")
    assert (kept.json()["username"], kept.json()["hasToken"]) == ("bot", True)
    shown = b"".join(one.content for one in (made, kept, states, read, program.get(root)))
    logged = str(list(AuditEvent.objects.values_list("changes", flat=True)))
    assert not [one for one in ("hush", secret) if one in shown.decode() or one in logged]


def test_a_deployment_follows_a_branch_and_no_longer(
    alice, bob, root, deployment, program_of, looked_at, django_capture_on_commit_callbacks
):
    program = program_of(alice)
    repository = program.post(root, {"url": HTTPS}).json()["id"]
    path = f"/deployments/{public_id('deployment', deployment.pk)}/git-source"
    body = {"repositoryId": repository, "branch": "main", "folder": "dags"}
    assert program.get(path).status_code == 404

    with django_capture_on_commit_callbacks(execute=True):
        followed = program.post(path, body)

    assert followed.status_code == 200, followed.content
    assert program.get(path).json() == followed.json()
    assert (followed.json()["branch"], followed.json()["folder"]) == ("main", "dags")
    assert looked_at == [HTTPS]
    assert program.post(f"{path}/look").status_code == 204
    assert program.delete(f"{root}/{repository}").status_code == 409
    assert program_of(bob).post(path, body).status_code == 403
    for wrong in ({"repositoryId": "cnone"}, {"branch": "a..b"}, {"folder": "../x"}):
        assert program.post(path, {**body, **wrong}).status_code == 400
    assert program.delete(path).status_code == 204
    assert not GitSource.objects.exists()
    assert program.delete(f"{root}/{repository}").status_code == 204


def test_branches_get_deployments_of_their_own(alice, root, deployment, program_of):
    program = program_of(alice)
    path = f"{root}/{program.post(root, {'url': HTTPS}).json()['id']}/branch-rule"
    template = public_id("deployment", deployment.pk)
    assert program.get(path).status_code == 404

    made = program.post(path, {"pattern": "feature/*", "templateDeploymentId": template})

    assert made.status_code == 200, made.content
    assert made.json()["templateDeploymentId"] == template
    assert (made.json()["mostDeployments"], made.json()["deployments"]) == (3, [])
    bad = program.post(path, {"pattern": "a b", "templateDeploymentId": "cnone"})
    assert "templateDeploymentId" in bad.json()["message"]
    assert program.delete(path).status_code == 204
    assert not BranchRule.objects.exists()
    assert Deployment.objects.count() == 1


def test_deploy_rules_are_those_of_the_workspace_until_a_deployment_has_its_own(
    alice, bob, workspace, deployment, program_of
):
    program = program_of(alice)
    own = f"/deployments/{public_id('deployment', deployment.pk)}/deploy-rules"
    default = f"/workspaces/{public_id('workspace', workspace.pk)}/deploy-rules"

    program.post(default, {"isCicdEnforced": True, "needsApproval": False})
    program.post(own, {"needsApproval": True})

    assert program.get(own).json() == {
        "isCicdEnforcedDefault": True,
        "needsApproval": True,
        "needsApprovalDefault": False,
    }
    assert "needsApproval" not in program.post(own, {"needsApproval": None}).json()
    assert program_of(bob).post(own, {}).status_code == 403
    assert program_of(bob, name="2").post(default, {}).status_code == 403
