from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.deploys.deliveries.queue import begin_next
from apps.deploys.deliveries.recording import NothingChanged
from apps.deploys.deliveries.services import deliver
from apps.deploys.incoming import blobs
from apps.deploys.incoming.services import begin_upload, finish_upload, note_uploaded
from apps.deploys.models import Deploy, DeployState, Upload
from apps.deploys.promotion import rules, services
from apps.organizations.models import Workspace
from tests.api.test_deploys import tarball
from tests.conftest import make_user, put_role, role
from tests.deploys.test_deploy_pages import settle


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    def run(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (NothingChanged, services.PromotionClosed) as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def delivery(actor: User, deployment: Deployment, source: bytes) -> Callable[[], Any]:
    return lambda: deliver(
        actor=actor, deployment=deployment, file_name="etl.py", chunks=[source], description=""
    )


@pytest.mark.django_db(transaction=True)
def test_two_who_deliver_at_once_get_numbers_of_their_own(
    alice: User, deployment: Deployment
) -> None:
    calls = [delivery(alice, deployment, b"x = %d\n" % number) for number in range(4)]

    at_once(calls)

    deployment.refresh_from_db()
    assert sorted(Deploy.objects.values_list("number", flat=True)) == [1, 2, 3, 4]
    begun = Deploy.objects.get(state=DeployState.BEGUN)
    assert (begun.number, deployment.wanted_id) == (1, begun.revision_id)
    assert Deploy.objects.filter(state=DeployState.WAITING).count() == 3
    assert deployment.operations.filter(state="running").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_double_submit_makes_one_deploy(alice: User, deployment: Deployment) -> None:
    results = at_once([delivery(alice, deployment, b"x = 1\n") for _ in range(4)])

    assert Deploy.objects.count() == 1
    assert sum(isinstance(result, NothingChanged) for result in results) == 3


@pytest.mark.django_db(transaction=True)
def test_an_upload_that_is_finished_twice_at_once_is_one_deploy_that_both_are_told(
    alice: User, deployment: Deployment
) -> None:
    upload = begin_upload(actor=alice, deployment=deployment, description="")
    blobs.put_whole(name=upload.name, chunks=[tarball()])
    version = note_uploaded(upload=upload)
    both = [Upload.objects.select_related("deployment").get() for _ in range(2)]

    results = at_once(
        [partial(finish_upload, actor=alice, upload=one, version=version) for one in both]
    )

    deploy = Deploy.objects.get()
    assert [one.deploy for one in results] == [deploy, deploy]


@pytest.mark.django_db(transaction=True)
def test_two_who_approve_at_once_make_one_deploy(
    alice: User, workspace: Workspace, deployment: Deployment, make_deployment: Any
) -> None:
    people = [make_user(name) for name in ("Dora", "Emil")]
    for person in people:
        put_role(person, role("workspace", "author"), workspace)
    dev = make_deployment(name="dev", ref="dev-1a2b")
    delivery(alice, dev, b"x = 1\n")()
    settle(dev)
    rules.set_approval(actor=alice, deployment=deployment, is_on=True)
    numbers = {"deploy_number": 1, "base_revision_number": deployment.wanted.number}
    dev.refresh_from_db()
    asked = services.promote(actor=alice, source=dev, target=deployment, **numbers)

    def approve(person: User) -> Callable[[], Any]:
        seen = {"base_revision_number": deployment.wanted.number, "now": timezone.now()}
        return lambda: services.approve(actor=person, promotion=asked, **seen)

    results = at_once([approve(person) for person in people])

    assert Deploy.objects.filter(deployment=deployment).count() == 1
    assert sum(isinstance(result, services.PromotionClosed) for result in results) == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_look_at_the_queue_at_once_begin_one_deploy(
    alice: User, deployment: Deployment
) -> None:
    for number in range(3):
        delivery(alice, deployment, b"x = %d\n" % number)()
    settle(deployment)

    at_once([lambda: begin_next(deployment_id=deployment.pk, now=timezone.now())] * 4)

    begun = Deploy.objects.filter(state=DeployState.BEGUN)
    assert sorted(begun.values_list("number", flat=True)) == [1, 2]
