"""A process of the portal is killed at every change that a deploy makes to the database: all of it
is there, or nothing, and whoever tries again gets one deploy.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.deploys.deliveries import queue
from apps.deploys.deliveries.recording import NothingChanged
from apps.deploys.deliveries.services import deliver, roll_back
from apps.deploys.incoming import blobs
from apps.deploys.incoming.services import begin_upload, finish_upload, note_uploaded
from apps.deploys.models import Deploy, DeployState, Upload
from tests.api.test_deploys import tarball
from tests.deploys.test_deploy_pages import DAG, settle

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


class Killed(BaseException):
    """What ends a process at once. PostgreSQL then takes back what was not committed."""


def each_change(work: Callable[[], object]) -> Iterator[int]:
    """Do work again and again, killed before its first change, its second, until it ends."""
    for number in range(1, 200):
        left = [number]

        def kill(execute: Any, sql: str, *more: Any, left: list[int] = left) -> Any:
            if sql.startswith(("INSERT", "UPDATE", "DELETE")):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
            return execute(sql, *more)

        try:
            with connection.execute_wrapper(kill):
                work()
        except Killed:
            yield number
        else:
            assert number > 3
            return
    raise AssertionError("It does not end.")


def assert_all_or_nothing(deployment: Deployment, *, before: int | None) -> None:
    deployment.refresh_from_db()
    newer = Deploy.objects.filter(state=DeployState.BEGUN, revision__gt=before)
    if deployment.wanted_id == before:
        assert not newer.exists()
        assert not deployment.revisions.filter(pk__gt=before).exists()
        assert not deployment.operations.filter(state="running").exists()
    else:
        assert newer.get().revision_id == deployment.wanted_id
        assert deployment.operations.get(revision=deployment.wanted_id).state == "running"


def test_a_delivery(alice: User, deployment: Deployment) -> None:
    before = deployment.wanted_id

    def send() -> None:
        deliver(actor=alice, deployment=deployment, file_name="etl.py", chunks=[DAG])

    for _ in each_change(send):
        assert_all_or_nothing(deployment, before=before)

    assert Deploy.objects.get().number == 1
    with pytest.raises(NothingChanged):
        send()


def test_an_upload_that_is_finished_knows_its_deploy(alice: User, deployment: Deployment) -> None:
    before = deployment.wanted_id
    upload = begin_upload(actor=alice, deployment=deployment, description="")
    blobs.put_whole(name=upload.name, chunks=io.BytesIO(tarball()))
    version = note_uploaded(upload=upload)

    def finish() -> None:
        finish_upload(actor=alice, upload=Upload.objects.get(), version=version)

    for _ in each_change(finish):
        assert_all_or_nothing(deployment, before=before)
        one = Upload.objects.get()
        assert (one.finished_at is None) == (one.deploy is None) == (not Deploy.objects.exists())

    assert Upload.objects.get().deploy == Deploy.objects.get()


def test_a_deploy_whose_turn_it_is(alice: User, deployment: Deployment) -> None:
    for number in (1, 2):
        chunks = [b"x = %d\n" % number]
        deliver(actor=alice, deployment=deployment, file_name="etl.py", chunks=chunks)
    settle(deployment)
    before = deployment.wanted_id

    for _ in each_change(lambda: queue.begin_next(deployment_id=deployment.pk, now=timezone.now())):
        assert_all_or_nothing(deployment, before=before)
        second = Deploy.objects.get(number=2)
        assert (second.state == DeployState.WAITING) == (second.revision is None)

    assert Deploy.objects.get(number=2).state == DeployState.BEGUN


def test_a_rollback(alice: User, deployment: Deployment) -> None:
    for number in (1, 2):
        chunks = [b"x = %d\n" % number]
        deliver(actor=alice, deployment=deployment, file_name="etl.py", chunks=chunks)
        settle(deployment)
        queue.begin_next(deployment_id=deployment.pk, now=timezone.now())
    settle(deployment)
    before, first = deployment.wanted_id, Deploy.objects.get(number=1)

    for _ in each_change(
        lambda: roll_back(actor=alice, deployment=deployment, deploy=Deploy.objects.get(number=1))
    ):
        assert_all_or_nothing(deployment, before=before)

    deployment.refresh_from_db()
    assert deployment.wanted
    assert deployment.wanted.code_digest == first.digest
