"""One change to many Deployments, by programs."""

from apps.bulk_actions import running
from apps.bulk_actions.models import BulkAction
from apps.core.public_ids import number_of
from apps.deployments.models import Operation
from tests.api.test_changing import id_of

SECRET = "hush-hush-value"


def test_a_program_previews_begins_and_follows_a_change_of_many(
    program_of, alice, bob, workspace, make_deployment
):
    prod, dev = make_deployment(name="etl-a"), make_deployment(name="etl-b")
    make_deployment(name="ml")
    program = program_of(alice)
    body = {
        "kind": "variable",
        "parameters": {"name": "KEY", "value": SECRET, "isSecret": True},
        "filter": {"name": "etl"},
        "workspaceId": id_of("workspace", workspace),
    }

    made = program.post("/bulk-actions", body).json()

    assert [one["deploymentName"] for one in made["items"]] == ["etl-a", "etl-b"]
    assert (made["status"], made["items"][0]["status"]) == ("DRAFT", "WAITING")
    path = f"/bulk-actions/{made['id']}"
    assert program.post(f"{path}/steps", {"step": "BEGIN"}).json()["status"] == "RUNNING"
    running.step(action_id=number_of("bulk-action", made["id"]))
    seen = program.get(path)
    assert {one["operationNumber"] for one in seen.json()["items"]} == {1}
    assert {one.deployment for one in Operation.objects.all()} == {prod, dev}
    assert SECRET not in seen.content.decode() + program.get("/bulk-actions").content.decode()
    assert program_of(bob).get(path).status_code == 404
    listed = program.get("/bulk-actions", workspaceId=id_of("workspace", workspace))
    assert [one["id"] for one in listed.json()["bulkActions"]] == [made["id"]]


def test_what_is_wrong_is_said(program_of, alice, bob, deployment):
    program, kind = program_of(alice), {"kind": "restart"}

    for body, words in (
        (kind, "Name Deployments, or send a filter"),
        ({**kind, "deploymentIds": []}, "at least one"),
        ({**kind, "deploymentIds": ["c0"]}, "A Deployment that is named is not here."),
        ({"kind": "explode", "filter": {}}, "There is no action explode"),
    ):
        answer = program.post("/bulk-actions", body)
        assert (answer.status_code, words in answer.json()["message"]) == (400, True)
    reader = program_of(bob)
    refused = reader.post("/bulk-actions", {**kind, "filter": {}, "begin": True})
    assert refused.status_code == 409
    named = program.post(
        "/bulk-actions", {**kind, "deploymentIds": [id_of("deployment", deployment)]}
    ).json()
    assert BulkAction.objects.get().actor == alice
    assert reader.delete(f"/bulk-actions/{named['id']}").status_code == 404
    assert program.delete(f"/bulk-actions/{named['id']}").status_code == 204
    assert not BulkAction.objects.exists()
