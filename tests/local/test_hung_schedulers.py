"""A scheduler that should stop and does not, with real processes in its place."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

from apps.dataplane.local.control.hung_schedulers import PATIENCE_SECONDS, HungSchedulers
from apps.dataplane.local.machine.supervisor import ProgramState

NAME = "tidy-comet--scheduler"
# A scheduler, its worker and, when asked for, the worker's task. None listens to SIGTERM.
PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(int(sys.argv[1])):
    if os.fork():
        break
print("up", flush=True)
time.sleep(60)
"""
Start = Callable[[int], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(generations: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, str(generations)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout
        assert [process.stdout.readline() for _ in range(generations + 1)]
        return process

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True) if psutil.pid_exists(pid) else []


def state_of(pid: int, name: str = NAME, state: str = "STOPPING") -> dict[str, ProgramState]:
    return {
        name: ProgramState(
            name=name,
            state=state,
            pid=pid,
            started_at=0,
            stopped_at=0,
            exit_status=0,
            description="",
        )
    }


def test_one_without_a_task_is_killed_with_its_workers_after_a_minute(start: Start) -> None:
    process, schedulers = start(1), HungSchedulers()
    [worker] = _children(process.pid)
    states = state_of(process.pid)

    schedulers.end(states, now=1000)
    schedulers.end(states, now=1000 + PATIENCE_SECONDS - 1)
    assert process.poll() is None
    schedulers.end(states, now=1000 + PATIENCE_SECONDS)

    assert process.wait(timeout=5) == -9
    worker.wait(timeout=5)


def test_one_that_runs_a_task_has_the_time_that_it_was_given(start: Start) -> None:
    process, schedulers = start(2), HungSchedulers()
    [task] = _children(_children(process.pid)[0].pid)

    for now in (0, 500, 599):
        schedulers.end(state_of(process.pid), now=now)
    assert process.poll() is None

    assert task.is_running()


@pytest.mark.parametrize(
    ("name", "state"), [(NAME, "RUNNING"), ("tidy-comet--worker-default-0a1b2c3d-0", "STOPPING")]
)
def test_nothing_else_is_killed(start: Start, name: str, state: str) -> None:
    process, schedulers = start(0), HungSchedulers()

    for now in (0, 1000):
        schedulers.end(state_of(process.pid, name, state), now=now)

    assert process.poll() is None
