"""Settings in layers, for programs: what a layer says, what holds, and what a Deployment sets."""

from typing import Any

import pytest

from apps.core.public_ids import public_id
from apps.deployments.layering.services import update_layer
from tests.deployments.conftest import _sign_in_key, distant, remote  # noqa: F401  # fixtures

LARGE = {"scheduler_size": "large"}


@pytest.fixture
def program(alice: Any, cluster: Any, program_of: Any) -> Any:
    return program_of(alice)


def address(kind: str, row: Any) -> str:
    return f"/{kind}s/{public_id(kind, row.pk)}"


def test_a_layer_is_replaced_once_what_it_reaches_is_confirmed(
    program: Any,
    workspace: Any,
    distant: Any,  # noqa: F811
) -> None:
    deployment, path = distant(), f"{address('workspace', workspace)}/deployment-settings"
    body = {"settings": LARGE, "locked": ["scheduler_size"]}

    refused = program.post(path, body)
    unchanged = program.get(path).json()
    saved = program.post(path, {**body, "isApplied": True})

    assert refused.status_code == 400
    assert "1 Deployment is applied again. Send isApplied." in refused.json()["message"]
    assert unchanged == {"layer": "WORKSPACE", "settings": {}, "locked": []}
    assert saved.json() == {
        "layer": "WORKSPACE",
        "settings": LARGE,
        "locked": ["scheduler_size"],
        "reachedCount": 1,
    }
    found = program.get(f"{address('deployment', deployment)}/settings").json()["settings"]
    assert found[0] == {
        "name": "scheduler_size",
        "label": "Scheduler size",
        "value": "large",
        "origin": "WORKSPACE",
        "originName": "Warehouse",
        "lockedBy": "the workspace Warehouse",
    }


def test_what_no_kind_takes_is_refused_with_its_sentence(program: Any, workspace: Any) -> None:
    path = f"{address('workspace', workspace)}/deployment-settings"

    for settings, sentence in (
        ({"scheduler_size": "huge"}, "Scheduler size: Choose small"),
        ({"nothing": "x"}, "There is no setting nothing here"),
    ):
        answer = program.post(path, {"settings": settings})
        assert (answer.status_code, sentence in answer.json()["message"]) == (400, True)


def test_a_deployment_sets_what_it_was_sent_and_keeps_it_when_it_is_sent_back(
    program: Any,
    alice: Any,
    workspace: Any,
    distant: Any,  # noqa: F811
) -> None:
    deployment = distant()
    path = address("deployment", deployment)
    read = program.get(path).json()
    assert (read["schedulerSize"], read["settings"]) == ("SMALL", {})
    sent = {"name": read["name"], "isHighAvailability": True, "schedulerSize": "LARGE"}

    made = program.post(path, sent).json()
    again = program.post(path, made | {"description": "Mine"}).json()
    less = program.post(path, {"name": read["name"], "settings": {}}).json()

    assert made["settings"] == {"scheduler_size": "large", "high_availability": "on"}
    assert (made["schedulerReplicas"], made["schedulerMemory"]) == (2, "8Gi")
    assert again["settings"] == made["settings"]
    assert less["settings"] == {}
    update_layer(actor=alice, place=workspace, values={}, locked=["scheduler_size"])
    refused = program.post(path, {"name": read["name"], "settings": LARGE})
    assert "Scheduler size is locked by the workspace Warehouse" in refused.json()["message"]


ROLE = "arn:aws:iam::123456789012:role/etl"


def test_a_program_names_an_identity_of_those_that_the_cluster_allows(
    program: Any,
    alice: Any,
    remote: Any,  # noqa: F811
    distant: Any,  # noqa: F811
) -> None:
    deployment = distant()
    path = address("deployment", deployment)
    sent = {"name": deployment.name, "workloadIdentity": ROLE}
    asked = f"/deployment-options?deploymentId={public_id('deployment', deployment.pk)}"

    refused = program.post(path, sent)
    assert program.get(asked).json()["workloadIdentityOptions"] == []
    update_layer(
        actor=alice,
        place=remote,
        values={"allowed_workload_identities": f"eks-pod-identity {ROLE}"},
        locked=(),
    )
    offered = program.get(asked).json()["workloadIdentityOptions"]
    made = program.post(path, sent).json()
    kept = program.post(path, {"name": deployment.name, "description": "Mine"}).json()
    other = program.post(path, {**sent, "workloadIdentity": f"{ROLE}-admin"})
    without = program.post(path, {**sent, "workloadIdentity": ""}).json()

    assert refused.status_code == 400
    assert "does not allow the identity irsa" in refused.json()["message"]
    assert offered == [{"label": f"{ROLE} (eks-pod-identity)", "role": ROLE}]
    assert made["workloadIdentity"] == made["effectiveWorkloadIdentity"] == ROLE
    assert made["settings"] == {"workload_identity": f"eks-pod-identity {ROLE}"}
    assert kept["workloadIdentity"] == ROLE
    assert "does not allow the identity irsa" in other.json()["message"]
    assert ("workloadIdentity" in without, without["settings"]) == (False, {})


def test_a_program_sees_whom_a_layer_would_reach_and_overwrites_no_one(
    program: Any,
    alice: Any,
    workspace: Any,
    distant: Any,  # noqa: F811
) -> None:
    deployment, path = distant(), f"{address('workspace', workspace)}/deployment-settings"

    shown = program.post(f"{path}/preview", {"settings": {"scheduler_size": "LARGE"}})
    wrong = program.post(f"{path}/preview", {"settings": {"scheduler_size": "huge"}})
    assert shown.json() == {
        "deployments": [
            {
                "deploymentId": public_id("deployment", deployment.pk),
                "deploymentName": deployment.name,
                "changes": [{"setting": "Scheduler size", "before": "small", "after": "large"}],
            }
        ],
        "hiddenCount": 0,
    }
    assert (wrong.status_code, "Choose small" in wrong.json()["message"]) == (400, True)
    assert program.get(path).json()["settings"] == {}

    read = program.get(path)["ETag"]
    update_layer(actor=alice, place=workspace, values={"workspace_cpu": "20"}, locked=())
    body = {"settings": LARGE, "isApplied": True}
    late = program.client.post(
        program.root + path, body, content_type="application/json", headers={"If-Match": read}
    )
    assert late.status_code == 409
    assert program.get(path).json()["settings"] == {"workspace_cpu": "20"}
    fresh = program.get(path)["ETag"]
    made = program.client.post(
        program.root + path, body, content_type="application/json", headers={"If-Match": fresh}
    )
    assert made.json()["settings"] == LARGE
