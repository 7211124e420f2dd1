"""When waiting for Airflow ends, and whom it blames. `now` is real: the state holds the past."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.local.control.readiness import Readiness
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State, Wanted, WantedQueue, save_wanted
from apps.dataplane.local.machine.supervisor import ProgramState
from apps.dataplane.status import ComponentStatus, Observation

OLD, FIRST, SECOND = (
    f"worker-default-{digest}" for digest in ("aaaa0000-0", "bbbb1111-0", "bbbb1111-1")
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(Home(tmp_path), "tidy-comet")
    folder.process_logs.mkdir(parents=True)
    (folder.process_logs / "scheduler.log").write_text("one\nImportError: no\n")
    queue = WantedQueue(
        name="default",
        concurrency=2,
        min_workers=2,
        max_workers=2,
        programs=[f"tidy-comet--{name}" for name in (FIRST, SECOND)],
    )
    save_wanted(folder, Wanted(core=["tidy-comet--scheduler"], queues=[queue]))
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


def make_program(name: str, state: str = "FATAL", *, started_ago: float = 10) -> ProgramState:
    return ProgramState(
        name=f"tidy-comet--{name}",
        state=state,
        pid=7,
        started_at=int(time.time() - started_ago),
        stopped_at=0,
        exit_status=1,
        description="",
    )


def look(
    folder: Folder,
    observation: Observation,
    *,
    seconds_ago: float = 0,
    programs: tuple[ProgramState, ...] = (),
) -> Any:
    began_at = time.time() - seconds_ago if seconds_ago else 0.0
    state = State(
        api_port=1, broker_number=1, database_password="x", revision=2, wait_began_at=began_at
    )
    states = {one.name: one for one in programs or (make_program("scheduler"),)}
    readiness = Readiness(folder=folder, state=state, revision=2, programs=states)
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


def log(folder: Folder, component: str, *lines: str) -> None:
    (folder.process_logs / f"{component}.log").write_text("".join(f"{line}\n" for line in lines))


def stamp(seconds_ago: float) -> str:
    return f"{datetime.fromtimestamp(time.time() - seconds_ago, UTC):%Y-%m-%dT%H:%M:%SZ}"


def blamed_worker(folder: Folder, *programs: ProgramState) -> Permanent:
    worker = ComponentStatus(name="worker default", state="failed", ready=0, wanted=2)
    seen = replace(make_observation(), components=(worker,))
    with pytest.raises(Permanent) as raised:
        look(folder, seen, programs=programs)
    return raised.value


def test_the_lines_are_of_the_worker_that_failed_and_not_of_an_old_one(folder: Folder):
    log(folder, OLD, *(f"{stamp(0)} [info] task {number} finished" for number in range(40)))
    log(folder, FIRST, "Traceback (most recent call last):", "ImportError: no such backend")

    error = blamed_worker(
        folder, make_program(OLD, "STOPPING"), make_program(FIRST), make_program(SECOND, "RUNNING")
    )

    assert error.log == ("Traceback (most recent call last):", "ImportError: no such backend")


def test_the_lines_are_not_of_a_neighbor_that_is_well(folder: Folder):
    log(folder, FIRST, f"{stamp(0)} [info] all is well")
    log(folder, SECOND, "OSError: no space left")

    error = blamed_worker(folder, make_program(FIRST, "RUNNING"), make_program(SECOND, "BACKOFF"))

    assert error.log == ("OSError: no space left",)


def test_the_lines_are_not_of_the_process_that_had_the_file_before(folder: Folder):
    log(folder, "scheduler", f"{stamp(90)} [info] stopping", "ImportError: no")

    with pytest.raises(Permanent) as raised:
        look(folder, make_observation(state="failed"))

    assert raised.value.log == ("ImportError: no",)


def test_a_process_that_wrote_nothing_is_not_given_the_lines_of_another(folder: Folder):
    log(folder, "scheduler", f"{stamp(90)} [info] stopping")

    with pytest.raises(Permanent) as raised:
        look(folder, make_observation(state="failed"))

    assert raised.value.log == ()
