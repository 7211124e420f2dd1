"""When waiting for Airflow ends, and whom it blames. `now` is real: the state holds the past."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.local.control.readiness import Readiness
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State
from apps.dataplane.status import ComponentStatus, Observation


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(Home(tmp_path), "tidy-comet")
    folder.process_logs.mkdir(parents=True)
    (folder.process_logs / "scheduler.log").write_text("one\nImportError: no\n")
    return folder


def make_observation(*, health: str = "starting", **scheduler: Any) -> Observation:
    fields = {"state": "starting", "ready": 0, "wanted": 1, **scheduler}
    return Observation(
        observed_at=datetime.now(UTC),
        exists=True,
        applied_revision=0,
        health=health,
        message="The scheduler is starting.",
        components=(ComponentStatus(name="scheduler", **fields),),
    )


def look(folder: Folder, observation: Observation, *, seconds_ago: float = 0) -> Any:
    began_at = time.time() - seconds_ago if seconds_ago else 0.0
    state = State(
        api_port=1, broker_number=1, database_password="x", revision=2, wait_began_at=began_at
    )
    readiness = Readiness(folder=folder, state=state, revision=2)
    return readiness.step(observation, timeout_seconds=300)


def test_what_is_healthy_is_done(folder: Folder):
    healthy = make_observation(health="healthy", state="running", ready=1)

    assert look(folder, healthy, seconds_ago=9999) == ("done", "")


def test_it_waits_and_says_for_what(folder: Folder):
    assert look(folder, make_observation()) == ("running", "Waiting for scheduler.")


def test_it_blames_a_component_that_was_given_up_with_its_log(folder: Folder):
    with pytest.raises(Permanent, match="scheduler") as raised:
        look(folder, make_observation(state="failed"))

    assert raised.value.component == "scheduler"
    assert raised.value.log == ("one", "ImportError: no")


def test_it_blames_a_component_that_ends_again_and_again(folder: Folder):
    restarted = make_observation(started_at=datetime.now(UTC))
    log_restart(folder, "scheduler", seconds_ago=5)

    with pytest.raises(Permanent, match="exits soon"):
        look(folder, restarted, seconds_ago=90)


def test_what_ended_once_at_the_beginning_is_not_blamed(folder: Folder):
    restarted = make_observation(started_at=datetime.now(UTC))
    log_restart(folder, "scheduler", seconds_ago=80)

    assert look(folder, restarted, seconds_ago=90)[0] == "running"


def test_a_worker_that_was_added_later_is_not_blamed(folder: Folder):
    added = make_observation(started_at=datetime.now(UTC))

    assert look(folder, added, seconds_ago=90)[0] == "running"


def log_restart(folder: Folder, component: str, *, seconds_ago: float) -> None:
    at = f"{datetime.fromtimestamp(time.time() - seconds_ago, UTC):%Y-%m-%d %H:%M:%S},000"
    program = f"{folder.ref}--{component}"
    folder.home.logs.mkdir()
    (folder.home.logs / "supervisord.log").write_text(
        f"{at} WARN exited: {program} (exit status 1; not expected)\n"
        f"{at} INFO spawned: '{program}' with pid 7\n"
    )


def test_a_slow_machine_is_given_minutes(folder: Folder):
    slow = make_observation(started_at=datetime.fromtimestamp(time.time() - 310, UTC))

    assert look(folder, slow, seconds_ago=299)[0] == "running"
    with pytest.raises(Permanent, match="not ready in 301"):
        look(folder, slow, seconds_ago=301)
