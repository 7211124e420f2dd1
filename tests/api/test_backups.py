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
