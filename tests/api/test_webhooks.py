"""Webhooks by programs: secrets told once, addresses never, each in its place."""

import pytest

from apps.core.public_ids import public_id
from apps.webhooks.hooks.models import Webhook
from tests.webhooks.examples import make_webhook

BODY = {
    "name": "Events",
    "url": "https://events.example.org/hooks/hidden-path",
    "topics": ["deploys", "incidents"],
}


def test_a_webhook_is_created_changed_rotated_and_deleted(alice, program_of):
    program = program_of(alice)

    made = program.post("/webhooks", BODY).json()
    path = f"/webhooks/{made['id']}"
    changed = program.post(path, {"name": "Builds", "topics": ["deploys"]}).json()
    rotated = program.post(f"{path}/rotate").json()

    assert made["host"] == changed["host"] == "events.example.org"
    assert (changed["name"], changed["topics"]) == ("Builds", ["deploys"])
    assert len({made["secret"], rotated["secret"]}) == 2
    assert program.post(f"{path}/rotate").status_code == 409
    listed = program.get("/webhooks")
    assert [one["name"] for one in listed.json()["webhooks"]] == ["Builds"]
    assert "hidden-path" not in listed.content.decode()
    assert made["secret"] not in listed.content.decode()
    assert program.delete(path).status_code == 204
    assert not Webhook.objects.exists()


def test_those_of_a_workspace_are_for_those_who_manage_them_there(
    alice, bob, workspace, organization, program_of
):
    here = public_id("workspace", workspace.pk)
    above = make_webhook(organization, alice)
    program = program_of(alice)
    made = program.post("/webhooks", {**BODY, "workspaceId": here}).json()

    assert made["workspaceId"] == here
    assert program.get("/webhooks", workspaceId=here).json()["totalCount"] == 1
    assert [one["id"] for one in program.get("/webhooks").json()["webhooks"]] == [
        public_id("webhook", above.pk)
    ]
    reader = program_of(bob)
    assert reader.get("/webhooks", workspaceId=here).status_code == 403
    assert reader.delete(f"/webhooks/{made['id']}").status_code == 403
    assert reader.get("/webhooks", workspaceId="none").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://example.org/"},
        {"url": "https://u:p@example.org/"},
        {"url": ""},
        {"topics": []},
        {"topics": ["weather"]},
        {"name": " "},
    ],
)
def test_what_is_wrong_is_said(alice, program_of, wrong):
    answer = program_of(alice).post("/webhooks", {**BODY, **wrong})

    assert answer.status_code == 400
    assert answer.json()["message"]
    assert not Webhook.objects.exists()
