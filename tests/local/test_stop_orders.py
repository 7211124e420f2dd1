"""In which order the parts of an Airflow stop: whatever runs tasks first, what they report to last.

A real supervisord; the parts are programs that take their time to stop, as one with tasks does.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.migration import Migration
from apps.dataplane.local.airflow.programs import CORE
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control.deletion import DeletePass
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State, read_state, read_wanted, save_state
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine.machine import Machine
from apps.dataplane.local.machine.supervisor import Program
from tests.dataplane.specs import make_runtime, make_spec
from tests.embedded import temporary_home
from tests.local.test_machine import running, start_program, until

pytestmark = pytest.mark.slow
REF = "tidy-comet"
SCHEDULER, API_SERVER = f"{REF}--scheduler", f"{REF}--api-server"
# The task ends when the test says so.
WITH_A_TASK = (
    "trap 'while [ ! -e ended ]; do sleep 0.05; done; exit' TERM; touch has-task; "
    "while :; do sleep 0.05; done"
)
NEWER = make_spec(REF, executor="local", queues=())
TASK = "longlocal.first"


@pytest.fixture
def machine() -> Iterator[Machine]:
    with temporary_home() as home:
        embedded_databases.prepare_home(home)
        try:
            yield from running(home)
        finally:
            (home.path / "ended").touch()


@pytest.fixture
def folder(machine: Machine) -> Folder:
    """An Airflow whose scheduler has a task."""
    folder = Folder(machine.home, REF)
    folder.path.mkdir()
    state = State(api_port=23456, broker_number=1, database_password="pw", database_airflow="3.2.2")
    save_state(folder, state)
    for component in CORE:
        script = WITH_A_TASK if component == "scheduler" else "exec sleep 600"
        start_program(
            machine, f"{REF}--{component}", "/bin/sh", "-c", script, stops_whole_group=False
        )
    # Before its trap is set, the scheduler would end at once.
    until((machine.home.path / "has-task").exists)
    return folder


def state_of(machine: Machine, name: str) -> str:
    state = machine.supervisor.states(name).get(name)
    return state.state if state else "gone"


def end_task(home: Home) -> None:
    (home.path / "ended").touch()


def migration(machine: Machine, folder: Folder, spec: Any = NEWER) -> Migration:
    state = read_state(folder)
    assert state
    return Migration(folder=folder, state=state, spec=spec, supervisor=machine.supervisor)


def test_before_a_migration_the_api_server_stays_until_the_schedulers_tasks_have_ended(
    machine: Machine, folder: Folder
) -> None:
    upgrade = migration(machine, folder)

    for _ in range(3):
        state, detail = upgrade.stop(lambda: TASK)
        until(lambda: state_of(machine, f"{REF}--triggerer") == "STOPPED")

    assert (state, TASK in detail, "10 minutes" in detail) == ("running", True, True)
    assert state_of(machine, SCHEDULER) == "STOPPING"
    assert state_of(machine, API_SERVER) == "RUNNING"
    assert read_wanted(folder).core == [API_SERVER], "the keeper would start the others"

    end_task(machine.home)
    until(lambda: state_of(machine, SCHEDULER) == "STOPPED")
    assert upgrade.stop(lambda: "")[1] == "Waiting for the old api-server to stop."
    until(lambda: state_of(machine, API_SERVER) == "STOPPED")
    assert upgrade.stop(lambda: "") == ("done", "")
    assert read_wanted(folder).core == []


def test_a_migration_that_began_is_not_taken_back(machine: Machine, folder: Folder) -> None:
    state = read_state(folder)
    assert state
    save_state(folder, replace(state, migrating_to="3.3.2"))
    older = replace(NEWER, runtime=make_runtime("3.2.2"))

    with pytest.raises(Permanent, match="at Airflow 3.3.2, which cannot be undone"):
        migration(machine, folder, older).stop(lambda: "")

    assert state_of(machine, API_SERVER) == "RUNNING"


def test_until_it_begins_the_old_airflow_may_stay(machine: Machine, folder: Folder) -> None:
    migration(machine, folder).stop(lambda: TASK)
    older = replace(NEWER, runtime=make_runtime("3.2.2"))

    back = migration(machine, folder, older)

    assert back.stop(lambda: TASK) == ("skipped", "")
    assert back.step(lambda: pytest.fail("nothing is migrated"))[0] == "skipped"


def test_a_migration_that_fails_without_a_word_is_not_explained_by_an_earlier_one(
    machine: Machine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.process_logs.mkdir()
    log = folder.process_logs / "migrate.log"
    log.write_text("of the one before\n")
    killed = Program(
        name=f"{REF}--migrate",
        command=["/bin/sh", "-c", "sleep 1; kill -9 $$"],
        environment={},
        directory=folder.path,
        log_file=log,
        is_restarted=False,
        start_seconds=0,
    )
    monkeypatch.setattr(f"{Migration.__module__}.migrate_program", lambda **_: killed)
    upgrade = migration(machine, folder)

    upgrade.step(dict)
    until(lambda: state_of(machine, killed.name) == "EXITED")
    with pytest.raises(Permanent, match="was killed, as happens when the machine has no") as raised:
        upgrade.step(dict)

    assert raised.value.log == ()


@pytest.mark.parametrize("executor", ["", "celery", "local"])
def test_deleting_waits_for_any_schedulers_tasks_with_the_api_server_up(
    machine: Machine, folder: Folder, executor: str
) -> None:
    state = read_state(folder)
    assert state
    save_state(folder, replace(state, executor=executor))
    config = LocalConfig(
        database_url="postgresql://portal:secret@127.0.0.1:5555/portal",
        broker_url="redis://:secret@127.0.0.1:6666",
        edge_url="http://localhost:8081",
    )
    deletion = DeletePass(home=machine.home, config=config, ref=REF)

    for _ in range(3):
        progress = deletion.run()
        until(lambda: state_of(machine, f"{REF}--triggerer") in ("STOPPED", "gone"))

    assert progress.steps[0].state == "running"
    assert state_of(machine, SCHEDULER) == "STOPPING"
    assert state_of(machine, API_SERVER) == "RUNNING"


def test_stopping_the_machine_gives_the_schedulers_tasks_time_and_an_api_server(
    machine: Machine, folder: Folder, tmp_path: Path
) -> None:
    said: list[str] = []
    seen: list[str] = []

    def say(message: str) -> None:
        said.append(message)
        if "components" in message:
            seen.extend(state_of(machine, name) for name in (SCHEDULER, API_SERVER))
        else:
            end_task(machine.home)

    machine.stop_all(worker_seconds=20, say=say)

    assert said == [
        "Waiting up to 20 s for tasks of 1 Airflow workers and schedulers to end.",
        "Stopping 3 Airflow components.",
    ]
    assert seen == ["STOPPED", "RUNNING"]
