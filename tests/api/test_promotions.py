"""Promotions by programs: at once, or open until a person approves."""

from pathlib import Path
from typing import Any

import pytest

from apps.core.public_ids import public_id
from apps.deploys.deliveries.services import deliver
from apps.deploys.models import Deploy
from apps.deploys.promotion import rules
from tests.deploys.test_deploy_pages import DAG, settle


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


@pytest.fixture
def dev(make_deployment, alice):
    made = make_deployment(name="etl-dev", ref="etl-dev-1a2b")
    deliver(actor=alice, deployment=made, file_name="sales.py", chunks=[DAG])
    settle(made)
    return made


def test_a_program_promotes_and_asks_where_approval_is_needed(
    alice, bob, program_of, deployment, dev
):
    path = f"/deployments/{public_id('deployment', deployment.pk)}/promotions"
    body = {"sourceDeploymentId": public_id("deployment", dev.pk), "description": "Q4"}
    program = program_of(alice)

    done = program.post(path, body)

    assert done.status_code == 200, done.content
    made = Deploy.objects.get(deployment=deployment)
    assert done.json()["status"] == "DEPLOYED"
    assert done.json()["deployId"] == public_id("deploy", made.pk)
    assert (made.digest, made.description) == (Deploy.objects.get(deployment=dev).digest, "Q4")
    assert program.post(path, body).status_code == 409
    assert program_of(bob).post(path, body).status_code == 403

    rules.set_approval(actor=alice, deployment=deployment, is_on=True)
    deliver(actor=alice, deployment=dev, file_name="sales.py", chunks=[DAG + b"# 2\n"])
    settle(dev)
    asked = program.post(path, body).json()

    assert asked["status"] == "OPEN"
    assert program.get(f"{path}/{asked['number']}").json() == asked
    assert [one["number"] for one in program.get(path).json()["promotions"]] == [2, 1]
    assert program.get(f"{path}/99").status_code == 404
    nowhere = {"sourceDeploymentId": public_id("deployment", deployment.pk)}
    assert program.post(path, nowhere).status_code == 404
