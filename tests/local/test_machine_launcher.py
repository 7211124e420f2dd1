"""The launcher as a person runs it: started, interrupted, killed, started again."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine.cleanup import find_leftovers
from apps.dataplane.local.machine.machine import CONNECT, PORTAL_PROGRAMS, Machine
from apps.dataplane.local.machine.ports import free_port
from tests.embedded import running_services, temporary_home

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Terminal:
    """A shell with a home and ports of its own, and nothing else set."""

    home: Home
    environment: dict[str, str]

    def launch(self, action: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "astro_portal.launcher", action],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def say(self, action: str) -> tuple[int, str]:
        process = self.launch(action)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def execute(self, code: str) -> None:
        command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", code]
        subprocess.run(command, cwd=PROJECT, env=self.environment, check=True)

    def is_up(self) -> bool:
        url = f"http://127.0.0.1:{embedded_databases.portal_port(self.home)}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """One for most tests here: what its first start makes, the others find."""
    with temporary_home() as made:
        yield made


@pytest.fixture
def terminal(home: Home) -> Iterator[Terminal]:
    with running_terminal(home) as terminal:
        yield terminal


@contextmanager
def running_terminal(home: Home) -> Iterator[Terminal]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PORTAL_HOME": str(home.path),
        "PORTAL_PORT": str(port),
        "PORTAL_EDGE_PORT": str(free_port(avoid=[port])),
        "PORTAL_RUNTIME_WATCH": "false",
    }
    try:
        yield Terminal(home, environment)
    finally:
        if home.run.is_dir():
            Machine(home).stop_all(worker_seconds=0)


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def read_until(process: subprocess.Popen[str], part: str) -> list[str]:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if part in line:
            return lines
    raise AssertionError("".join(lines))


def pids(machine: Machine) -> dict[str, int]:
    return {name: state.pid for name, state in machine.supervisor.states().items()}


def test_it_runs_heals_and_stops(terminal: Terminal) -> None:
    machine = Machine(terminal.home)
    launcher = terminal.launch("run")
    read_until(launcher, "Press Ctrl-C")
    assert terminal.is_up()
    assert terminal.say("status")[0] == 0

    before = pids(machine)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: _are_all_new(before, pids(machine)) and terminal.is_up())

    second = terminal.launch("run")
    assert "runs already" in "".join(read_until(second, "Ctrl-C"))
    second.send_signal(signal.SIGINT)
    assert second.wait(30) == 0
    second.communicate()
    assert terminal.is_up()

    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=90)
    assert launcher.returncode == 0
    assert "make stop" in output
    running = {name for name, pid in pids(machine).items() if pid}
    assert running == {"postgres", "valkey", "keeper", "edge"}

    assert terminal.say("stop")[0] == 0
    assert find_leftovers(terminal.home) == []


def test_it_heals_without_a_launcher(terminal: Terminal) -> None:
    machine = Machine(terminal.home)
    launcher = terminal.launch("run")
    read_until(launcher, "Press Ctrl-C")
    before = pids(machine)

    launcher.kill()
    launcher.communicate()
    os.kill(int((terminal.home.run / "supervisord.pid").read_text()), signal.SIGKILL)

    until(machine.supervisor.is_answering)
    until(lambda: _are_all_new(before, pids(machine)) and terminal.is_up())


def test_databases_from_elsewhere_are_used_instead() -> None:
    with (
        running_services() as elsewhere,
        temporary_home() as home,
        running_terminal(home) as terminal,
    ):
        terminal.environment["DATABASE_URL"] = embedded_databases.database_url(elsewhere)
        terminal.environment["REDIS_URL"] = embedded_databases.redis_url(elsewhere)
        launcher = terminal.launch("run")
        read_until(launcher, "Press Ctrl-C")

        assert terminal.is_up()
        assert set(pids(Machine(terminal.home))) == {*PORTAL_PROGRAMS, "keeper", "edge"}

        terminal.say("stop")
        launcher.communicate(timeout=60)


def test_the_first_cluster_starts_what_talks_to_clusters_and_the_last_ends_it(
    terminal: Terminal,
) -> None:
    machine = Machine(terminal.home)
    launcher = terminal.launch("run")
    read_until(launcher, "Press Ctrl-C")
    assert CONNECT not in pids(machine)

    terminal.execute(
        "from apps.clusters.models import Cluster;"
        "from apps.organizations.models import Organization;"
        "o = Organization.objects.create(name='N', slug='n');"
        "Cluster.objects.create(organization=o, kind='kubernetes', name='eu',"
        " server='https://10.9.8.7', credential=b'x')"
    )
    read_until(launcher, "The clusters are watched")
    until(lambda: bool(pids(machine).get(CONNECT)))
    until(lambda: (terminal.home.run / "gateway.sock").exists())

    terminal.execute("from apps.clusters.models import Cluster; Cluster.objects.all().delete()")
    until(lambda: CONNECT not in pids(machine))

    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=90)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORTAL_PORT", "eighty", "PORTAL_PORT must be a whole number"),
        ("PORTAL_URL", "portal.example.org", "PORTAL_URL must be an address like"),
        ("EMAIL_PORT", "-1", "EMAIL_PORT must be at least 1"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    terminal: Terminal, name: str, value: str, message: str
) -> None:
    terminal.environment[name] = value

    code, output = terminal.say("run")

    assert code == 2
    assert output.startswith(message)
    assert len(output.splitlines()) == 1


def _are_all_new(before: dict[str, int], after: dict[str, int]) -> bool:
    return all(after.get(name) not in (0, None, pid) for name, pid in before.items())
