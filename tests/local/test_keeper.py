"""The keeper beside an edit: both see that a component is stopped, and both may start it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control.autoscaler import Autoscaler
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, State, Wanted, save_state, save_wanted
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine.machine import Machine
from apps.dataplane.local.machine.supervisor import Program
from tests.embedded import temporary_home
from tests.local.test_machine import running, start_program, until

pytestmark = pytest.mark.slow
NAME = "tidy-comet--api-server"
CONFIG = LocalConfig(
    database_url="postgresql://portal:secret@127.0.0.1:5555/portal",
    broker_url="redis://:secret@127.0.0.1:6666",
    edge_url="http://localhost:8081",
)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with temporary_home() as home:
        embedded_databases.prepare_home(home)
        yield from running(home)


def test_a_component_that_stopped_to_be_replaced_is_started_as_it_is_wanted_now(
    machine: Machine,
) -> None:
    home = machine.home
    folder = Folder(home, "tidy-comet")
    folder.path.mkdir()
    save_state(folder, State(api_port=23456, broker_number=1, database_password="pw"))
    start_program(machine, NAME, "/bin/sh", "-c", "echo old; exec sleep 600")
    until(lambda: "old" in log_of(home).read_text())
    save_wanted(folder, Wanted(core=[NAME]))

    machine.supervisor.write(edited(home))
    machine.supervisor.reload()
    until(lambda: machine.supervisor.states()[NAME].state == "STOPPED")
    Autoscaler(home=home, config=CONFIG).look(0)

    until(lambda: "new" in log_of(home).read_text())
    assert log_of(home).read_text().split() == ["old", "new"]
    assert machine.supervisor.reload() == (set(), set(), set())


def edited(home: Home) -> Program:
    return Program(
        name=NAME,
        command=("/bin/sh", "-c", "echo new; exec sleep 600"),
        environment={"PATH": "/usr/bin:/bin"},
        directory=home.path,
        log_file=log_of(home),
        start_seconds=0,
    )


def log_of(home: Home) -> Path:
    return home.logs / f"{NAME}.log"
