"""Backups by programs: asked for, read, restored and removed, by the services that pages use."""

from pathlib import Path
from typing import Any

import pytest

from apps.core.public_ids import public_id
from apps.deployments.models import Operation
from tests.backups.examples import make_backup


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    storage = settings.STORAGES["backups"]
    options = {**storage["OPTIONS"], "location": tmp_path / "backups"}
    settings.STORAGES = {**settings.STORAGES, "backups": {**storage, "OPTIONS": options}}


def test_a_program_backs_up_restores_and_removes(alice, bob, program_of, deployment):
    path = f"/deployments/{public_id('deployment', deployment.pk)}/backups"
    program, looking = program_of(alice), program_of(bob)

    asked = program.post(path, {"keepDays": 7})
    again = program.post(path, {})

    assert asked.status_code == 200, asked.content
    assert asked.json()["status"] == "WAITING"
    assert again.json()["id"] == asked.json()["id"], "one backup at a time"
    assert looking.post(path, {}).status_code == 403
    assert program.post(path, {"keepDays": 0}).status_code == 400
    backup = make_backup(alice, deployment)
    one = f"{path}/{backup.pk}"
    shown = looking.get(one).json()
    assert (shown["status"], shown["airflowVersion"], shown["revisionNumber"]) == (
        "DONE",
        "3.3.2",
        1,
    )
    assert shown["sizeBytes"] == backup.size_bytes
    assert "sealed" not in shown
    assert program.get(path).json()["backups"] == [shown]
    assert program.get(f"{path}/00000000-0000-0000-0000-000000000000").status_code == 404

    assert program.post(f"{one}/restore", {"deploymentName": "another"}).status_code == 400
    restored = program.post(f"{one}/restore", {"deploymentName": deployment.name}).json()

    operation = Operation.objects.get(deployment=deployment)
    assert restored == {"revisionNumber": 2, "operationNumber": operation.number}
    assert looking.delete(one).status_code == 403
    assert program.delete(one).status_code == 409, "it is being restored"
    Operation.objects.update(state="succeeded")
    deployment.revisions.update(state="applied")
    assert program.delete(one).status_code == 204
    assert program.get(path).json()["backups"] == []


def test_a_program_schedules_backups(alice, bob, program_of, deployment):
    path = f"/deployments/{public_id('deployment', deployment.pk)}/backup-schedule"
    program = program_of(alice)
    weekly = {"dayOfWeek": "SUNDAY", "timeOfDay": "02:30", "timeZone": "Europe/Oslo", "keepDays": 7}
    assert program.get(path).status_code == 404

    made = program.post(path, weekly).json()
    daily = program.post(path, {"timeOfDay": "03:00"}).json()

    assert {name: made[name] for name in weekly} == weekly
    assert "dayOfWeek" not in daily
    assert program_of(bob).get(path).json() == daily
    for wrong in (
        {"timeOfDay": "25:00"},
        {"timeOfDay": "x"},
        {"timeOfDay": "02:00", "dayOfWeek": "SOMEDAY"},
        {"timeOfDay": "02:00", "timeZone": "Mars/Base"},
        {"timeOfDay": "02:00", "keepDays": 0},
    ):
        assert program.post(path, wrong).status_code == 400, wrong
    assert program.delete(path).status_code == 204
    assert program.get(path).status_code == 404


def test_a_program_makes_a_deployment_of_a_backup(alice, bob, program_of, deployment):
    backup = make_backup(alice, deployment)
    path = f"/deployments/{public_id('deployment', deployment.pk)}/backups/{backup.pk}"
    program = program_of(alice)

    made = program.post(f"{path}/new-deployment", {"name": "second"})

    assert made.status_code == 200, made.content
    second = Operation.objects.get(number=made.json()["operationNumber"]).deployment
    assert made.json()["deploymentId"] == public_id("deployment", second.pk)
    assert program.post(f"{path}/new-deployment", {"name": "second"}).status_code == 400
    older = program.post(f"{path}/new-deployment", {"name": "third", "runtime": "3.2.2-1"})
    assert older.status_code == 400
    assert older.json()["fieldErrors"][0]["field"] == "runtime"
    assert program_of(bob).post(f"{path}/new-deployment", {"name": "x"}).status_code == 403


def test_a_program_backs_up_and_deletes(alice, program_of, deployment):
    path = f"/deployments/{public_id('deployment', deployment.pk)}/backup-and-delete"
    program = program_of(alice)

    refused = program.post(path, {"deploymentName": "another"})
    asked = program.post(path, {"deploymentName": deployment.name})

    assert refused.status_code == 400
    assert (asked.json()["status"], asked.json()["reason"]) == ("WAITING", "DELETION")
    assert deployment.backups.get().then_deletes
