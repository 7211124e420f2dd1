"""Creating, changing and deleting, as clients do it: whole objects by POST, 200 or 204."""

import pytest

from apps.api.deployments import items
from apps.audit.models import AuditEvent
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment, Phase, SecretValue
from tests.conftest import CONFIG

# What the CLI sends to create a Deployment, all of it.
ROLE = "arn:aws:iam::123456789012:role/etl"
SENT = {
    "astroRuntimeVersion": "3.3.2-1",
    "cloudProvider": "AZURE",
    "description": "",
    "name": "etl-new",
    "executor": "CELERY",
    "isCicdEnforced": False,
    "region": "local",
    "isDagDeployEnabled": True,
    "isHighAvailability": False,
    "isDevelopmentMode": False,
    "schedulerSize": "SMALL",
    "type": "STANDARD",
    "defaultTaskPodCpu": "1",
    "resourceQuotaMemory": "20Gi",
}
NEVER = {"hibernateAtCron": "at night", "wakeAtCron": "0 7 * * *"}


def id_of(kind, row) -> str:
    return public_id(kind, row.pk)


@pytest.fixture
def program(alice, cluster, program_of):
    return program_of(alice)


def test_a_deployment_is_created_as_the_form_would(program, workspace, plane):
    answer = program.post("/deployments", {**SENT, "workspaceId": id_of("workspace", workspace)})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["name"], body["status"], body["executor"]) == ("etl-new", "CREATING", "CELERY")
    assert [one["name"] for one in body["workerQueues"]] == ["default"]
    made = Deployment.objects.get()
    assert made.created_by.email == "alice@example.org"
    assert made.operations.get().kind == "create"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"isHighAvailability": True}, "high availability"),
        (
            {"scalingSpec": {"hibernationSpec": {"schedules": [NEVER]}}},
            "Enter a cron expression of five fields",
        ),
        ({"schedulerSize": "LARGE"}, "other sizes of schedulers"),
        ({"workloadIdentity": ROLE}, "workload identities"),
        ({"workloadIdentity": "arn"}, "is no identity of a cloud"),
        ({"executor": "ASTRO"}, "There is no executor astro"),
        ({"astroRuntimeVersion": "1.0"}, "There is no runtime 1.0"),
        ({"name": " "}, "Enter a name"),
        ({"clusterId": "c1"}, "cannot use that cluster"),
        ({"type": "DEDICATED"}, "Name the cluster"),
        (
            {"environmentVariables": [{"key": "NEW", "isSecret": True}]},
            "Send a value for the new secret NEW",
        ),
        ({"environmentVariables": [{"key": "PATH", "value": "x"}]}, "PATH is reserved"),
        ({"workerQueues": [{"name": "heavy"}]}, "“default” is required"),
    ],
)
def test_what_is_not_here_is_refused_with_a_sentence(program, workspace, plane, wrong, sentence):
    sent = {**SENT, "workspaceId": id_of("workspace", workspace), **wrong}

    answer = program.post("/deployments", sent)

    assert answer.status_code == 400
    assert sentence in answer.json()["message"]
    assert not Deployment.objects.exists()
    assert not SecretValue.objects.exists()


def test_a_name_that_is_taken_is_said_at_its_field(program, workspace, deployment):
    sent = {**SENT, "name": "ETL-prod", "workspaceId": id_of("workspace", workspace)}

    body = program.post("/deployments", sent).json()

    assert body["fieldErrors"][0]["field"] == "name"


def test_an_update_holds_all_and_keeps_secrets_that_come_without_a_value(program, make_deployment):
    deployment = make_deployment()
    path = f"/deployments/{id_of('deployment', deployment)}"
    read = program.get(path).json()
    variables = [
        {"key": "OPEN", "value": "1"},
        {"key": "SHUT", "value": "s3cr3t", "isSecret": True},
    ]

    first = program.post(path, {**read, "environmentVariables": variables})
    kept = Deployment.objects.get().wanted.configuration.secret_ids
    again = {**first.json(), "description": "Nightly"}
    second = program.post(path, again)

    assert (first.status_code, second.status_code) == (200, 200)
    configuration = Deployment.objects.get().wanted.configuration
    assert configuration.description == "Nightly"
    assert configuration.secret_ids == kept
    assert [one.key for one in configuration.variables] == ["OPEN", "SHUT"]
    assert "s3cr3t" not in str(AuditEvent.objects.values_list("changes", flat=True))
    assert "s3cr3t" not in first.content.decode()


def test_reading_and_sending_back_changes_nothing(program, make_deployment):
    """The round trip that every client relies on."""
    queues = [
        {"name": name, "size": "local", "concurrency": 3, "min_workers": 0, "max_workers": most}
        for name, most in (("default", 2), ("heavy", 4))
    ]
    variables = [{"key": "A", "value": "ü \n\"'", "secret_id": ""}]
    for config in (
        {"queues": queues, "variables": variables, "description": "x\ny"},
        {"executor": "local", "queues": []},
    ):
        deployment = make_deployment(config={**CONFIG, **config})
        before = deployment.wanted.configuration
        path = f"/deployments/{id_of('deployment', deployment)}"

        answer = program.post(path, program.get(path).json())

        assert answer.status_code == 200
        deployment.refresh_from_db()
        assert deployment.wanted.configuration == before
        assert deployment.wanted.number == 1


def test_a_queue_is_added_by_sending_all(program, deployment):
    path = f"/deployments/{id_of('deployment', deployment)}"
    read = program.get(path).json()
    heavy = {"name": "heavy", "astroMachine": "A5", "workerConcurrency": 2, "maxWorkerCount": 3}

    answer = program.post(path, {**read, "workerQueues": [*read["workerQueues"], heavy]})

    assert [one["name"] for one in answer.json()["workerQueues"]] == ["default", "heavy"]
    heavy = Deployment.objects.get().wanted.configuration.queue("heavy")
    assert (heavy.concurrency, heavy.max_workers) == (2, 3)


def test_an_update_renames_a_deployment(program, deployment, make_deployment):
    make_deployment(name="taken")
    path = f"/deployments/{id_of('deployment', deployment)}"
    read = program.get(path).json()

    answer = program.post(path, {**read, "name": "other"})
    refused = program.post(path, {**read, "name": "taken"})

    assert answer.json()["name"] == program.get(path).json()["name"] == "other"
    assert Deployment.objects.get(pk=deployment.pk).wanted.number == 1
    assert refused.status_code == 400
    assert "already has a Deployment called taken" in refused.json()["message"]


def test_an_update_does_not_move_a_deployment(program, deployment):
    path = f"/deployments/{id_of('deployment', deployment)}"
    read = program.get(path).json()

    for change in ({"workspaceId": "c0"}, {"isDagDeployEnabled": False}):
        answer = program.post(path, {**read, **change})
        assert answer.status_code == 400


def test_two_clients_at_a_time_the_second_is_told_to_read_again(program, deployment, monkeypatch):
    path = f"/deployments/{id_of('deployment', deployment)}"
    read = program.get(path).json()
    build = items.changed_configuration

    def late(*args, **kwargs):
        monkeypatch.setattr(items, "changed_configuration", build)
        assert program.post(path, {**read, "description": "first"}).status_code == 200
        return build(*args, **kwargs)

    monkeypatch.setattr(items, "changed_configuration", late)
    answer = program.post(path, {**read, "description": "second"})

    assert answer.status_code == 409
    assert "revision 2 is newer" in answer.json()["message"]


def test_a_deployment_is_deleted_and_gone_for_clients(program, deployment):
    path = f"/deployments/{id_of('deployment', deployment)}"

    answer = program.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert Deployment.objects.get().phase == Phase.DELETING
    Deployment.objects.update(phase=Phase.DELETED)
    assert program.get(path).status_code == 404
    assert program.get("/deployments").json()["totalCount"] == 0


def test_a_reader_changes_nothing_and_learns_which_role_may(workspace, deployment, token_program):
    reader = token_program(workspace, "member")
    path = f"/deployments/{id_of('deployment', deployment)}"

    answers = [reader.post(path, reader.get(path).json()), reader.delete(path)]
    sent = {**SENT, "workspaceId": id_of("workspace", workspace)}
    answers.append(reader.post("/deployments", sent))

    assert [one.status_code for one in answers] == [403] * 3
    assert "Workspace Operator" in answers[0].json()["message"]


def test_workspaces_come_and_go(program, organization, deployment, workspace):
    made = program.post("/workspaces", {"name": "New", "description": "d"}).json()
    path = f"/workspaces/{made['id']}"

    changed = program.post(path, {"name": "Newer", "description": "e"})
    taken = program.post(path, {"name": "Warehouse"})
    gone = program.delete(path)
    full = program.delete(f"/workspaces/{id_of('workspace', workspace)}")

    assert (changed.json()["name"], changed.json()["description"]) == ("Newer", "e")
    assert (taken.status_code, gone.status_code) == (400, 204)
    assert full.status_code == 409
    assert "still holds etl-prod" in full.json()["message"]
    assert [one.name for one in organization.workspaces.all()] == ["Warehouse"]


def test_a_body_that_is_no_json_or_too_little_is_refused(program):
    path = f"{program.root}/workspaces"
    broken = program.client.post(path, "{", content_type="application/json")
    short = program.post("/workspaces", {"description": "d"})
    unstorable = program.post("/workspaces", {"name": "a\u0000b"})

    assert [one.status_code for one in (broken, short, unstorable)] == [400] * 3
    assert short.json()["fieldErrors"][0]["field"] == "name"
    assert all(one["Content-Type"].startswith("application/json") for one in (broken, unstorable))
