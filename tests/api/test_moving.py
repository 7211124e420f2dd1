"""Copying Deployments and moving them between workspaces, by programs."""

import pytest

from apps.deployments.models import Deployment
from apps.organizations.models import Workspace
from tests.api.test_changing import id_of


@pytest.fixture
def other(organization):
    return Workspace.objects.create(organization=organization, name="Finance", slug="finance")


def test_a_program_copies_a_deployment(program_of, alice, bob, deployment, other):
    path = f"/deployments/{id_of('deployment', deployment)}/copy"
    program = program_of(alice)

    answer = program.post(path, {"name": "beside"})
    there = program.post(path, {"name": "beside", "workspaceId": id_of("workspace", other)})

    assert answer.status_code == there.status_code == 200
    made = Deployment.objects.get(workspace=other)
    assert there.json()["id"] == id_of("deployment", made)
    assert answer.json()["workspaceId"] == id_of("workspace", deployment.workspace)
    assert made.wanted.configuration.queues == deployment.wanted.configuration.queues
    taken = program.post(path, {"name": "beside"})
    assert taken.status_code == 400
    nowhere = program.post(path, {"name": "x", "workspaceId": id_of("cluster", made.cluster)})
    assert nowhere.status_code == 404
    assert program_of(bob).post(path, {"name": "x"}).status_code == 403


def test_a_program_sees_what_a_transfer_changes_and_transfers(
    program_of, alice, bob, deployment, other
):
    path = f"/deployments/{id_of('deployment', deployment)}/transfer"
    program, there = program_of(alice), id_of("workspace", other)

    shown = program.get(path, workspaceId=there)
    before = Deployment.objects.get().workspace
    answer = program.post(path, {"workspaceId": there})

    assert shown.json()["loseAccess"] == [bob.email]
    assert shown.json()["refusals"] == []
    assert before != other
    assert answer.json()["workspaceId"] == there
    assert Deployment.objects.get().workspace == other
    again = program.post(path, {"workspaceId": there})
    assert again.status_code == 409
    assert "is in Finance already" in again.json()["message"]
    assert program.post(path, {"workspaceId": "c0"}).status_code == 404
    assert program_of(bob).post(path, {"workspaceId": there}).status_code == 404
