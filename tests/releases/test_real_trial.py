"""A new release on a real machine: ten minutes and more, so that a person asks for it."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.releases import index as release_index
from apps.releases import trial
from apps.releases.models import Release
from apps.releases.tasks import watch
from apps.runtimes import catalogue
from tests.dags.conftest import new_sign_in_key
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.specs import OLDER, make_runtime
from tests.dataplane.world import eventually
from tests.releases.made_up_index import made_up_index

NAME = "ASTRO_PORTAL_TEST_RELEASES"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NAME not in os.environ, reason=f"takes over ten minutes; {NAME}=1 includes it"
    ),
]
PLANES: list[Any] = []


def plane_of_test() -> Any:
    return PLANES[0]


@pytest.fixture
def world() -> Iterator[LocalWorld]:
    with local_world(make_runtime(OLDER), make_runtime()) as world:
        yield world


@pytest.mark.django_db
def test_a_release_is_found_tested_and_offered_with_nobody_there(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    """The portal came with 3.2.2 alone; then its index publishes 3.3.2."""
    settings.RUNTIME_FOLDER, settings.RUNTIME_NETWORKS = str(tmp_path), ("127.0.0.0/8",)
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    settings.DATA_PLANES = {"local": f"{__name__}.plane_of_test"}
    only = tuple(one for one in catalogue.built_in() if one.airflow_version == OLDER)
    for module in (catalogue, release_index):
        monkeypatch.setattr(module, "built_in", lambda: only)
    catalogue._runtimes.cache_clear()
    locked = world.plane.lock_runtime(airflow_version="3.3.2")
    assert "apache-airflow==3.3.2" in locked
    assert locked.count("--hash=sha256:") > 500
    # What the cache of the tests has installed; to install another set would take a minute more.
    lock = (world.plane.config.runtime_folder / make_runtime().lock_path).read_text()
    monkeypatch.setattr(type(world.plane), "lock_runtime", lambda _, airflow_version: lock)
    monkeypatch.setattr(f"{__name__}.PLANES", [world.plane])

    with made_up_index() as (address, index):
        settings.PACKAGE_INDEX = address
        index.publish(OLDER, "2026-05-29T05:19:55Z")
        index.publish("3.3.2", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        watch()
    eventually(
        lambda: trial.turn(now=datetime.now(UTC), seconds=120) is None, seconds=1500, every=0.1
    )

    release = Release.objects.get()
    assert (release.state, release.failure) == ("tested", ""), (release.steps, release.log)
    assert release.previous == f"{OLDER}-1"
    offered = catalogue.offered_runtimes(today=datetime.now(UTC).date())
    assert [one.version for one in offered] == ["3.3.2-1", f"{OLDER}-1"]
    assert offered[0].source == "tested"
    took = release.ended_at - release.published_at
    assert took.total_seconds() < 60 * 60
    assert not list(world.home.deployments.glob("trial-*"))
    catalogue._runtimes.cache_clear()
