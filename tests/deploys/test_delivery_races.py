from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.deploys.models import Deploy
from apps.deploys.services import NothingChanged, deliver


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    def run(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except NothingChanged as same:
            return same
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
    newest = Deploy.objects.order_by("-number")[0]
    assert deployment.wanted_id == newest.revision_id
    assert deployment.operations.filter(state="running").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_double_submit_makes_one_deploy(alice: User, deployment: Deployment) -> None:
    results = at_once([delivery(alice, deployment, b"x = 1\n") for _ in range(4)])

    assert Deploy.objects.count() == 1
    assert sum(isinstance(result, NothingChanged) for result in results) == 3
