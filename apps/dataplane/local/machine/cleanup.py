"""Find and end orphans: processes of a home whose supervisord is gone.

A supervisord that was killed leaves its children running, and a new one would start each a second
time. Processes are recognized by marks in their environment, and, as some programs overwrite theirs
with a process title, by the pid files that `launch.py` writes.
"""

import os
import re
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.supervisor import MARK_HOME, MARK_PROGRAM

SUPERVISORD = "supervisord"
WORKER = re.compile(r".+--worker-.+")
RUNS_TASKS = re.compile(r".+--(worker-.+|scheduler)")
# A pid file is written a moment after its process began; clocks of the two may differ by a
# rounding.
CLOCK_SECONDS = 2.0


@dataclass(frozen=True)
class Leftover:
    """A running process of one of the home's programs."""

    program: str
    process: psutil.Process

    @property
    def is_airflow_worker(self) -> bool:
        return WORKER.fullmatch(self.program) is not None


def find_leftovers(home: Home) -> list[Leftover]:
    """Return the processes of the home's programs, supervisord too, except the caller."""
    found = {leftover.process.pid: leftover for leftover in _by_pid_file(home)}
    found |= {leftover.process.pid: leftover for leftover in _by_mark(home)}
    found.pop(os.getpid(), None)
    return list(found.values())


def is_supervisord_alive(home: Home) -> bool:
    """Return whether a supervisord process of the home exists, answering or not."""
    return any(leftover.program == SUPERVISORD for leftover in _by_mark(home))


def end_leftovers(
    home: Home, *, with_workers: bool = False, grace_seconds: float = 10
) -> list[str]:
    """End every process of the home's programs and return the programs' names.

    Airflow workers are asked to finish their tasks and are not waited for, unless `with_workers`.
    """
    leftovers = find_leftovers(home)
    # The supervisor first: while it runs it restarts what ends.
    _kill([found.process for found in leftovers if found.program == SUPERVISORD])
    for worker in leftovers:
        if worker.is_airflow_worker and _is_main(worker, leftovers):
            _signal(worker.process, signal.SIGTERM)
    doomed = [found for found in leftovers if with_workers or not found.is_airflow_worker]
    family = _families([found.process for found in doomed])
    for found in doomed:
        if _is_main(found, leftovers):
            _signal(found.process, stop_signal(home, found.program))
    _, alive = psutil.wait_procs(family, timeout=grace_seconds)
    _kill(alive)
    return sorted({found.program for found in leftovers})


def kill_programs(home: Home, names: Collection[str]) -> None:
    """Kill the processes of these programs and their children at once."""
    _kill(_families([found.process for found in find_leftovers(home) if found.program in names]))


def forget_ended(home: Home) -> None:
    """Remove pid files whose process has ended."""
    _by_pid_file(home)


def stop_signal(home: Home, program: str) -> signal.Signals:
    """Return the signal that the program's file names; SIGTERM if the file is gone."""
    try:
        text = (home.programs / f"{program}.conf").read_text()
    except FileNotFoundError:
        return signal.SIGTERM
    match = re.search(r"^stopsignal=(\w+)$", text, re.MULTILINE)
    return signal.Signals[f"SIG{match.group(1)}"] if match else signal.SIGTERM


def _by_pid_file(home: Home) -> list[Leftover]:
    found = []
    for file in (home.run / "pids").glob("*.*"):
        program, _, pid = file.name.rpartition(".")
        process = _process_of(file, int(pid)) if pid.isdigit() else None
        if process is None:
            file.unlink(missing_ok=True)
        else:
            found.append(Leftover(program, process))
    return found


def _process_of(file: Path, pid: int) -> psutil.Process | None:
    """Return the process that wrote the file, not a later one that got the same number."""
    try:
        process = psutil.Process(pid)
        is_writer = process.create_time() <= file.stat().st_mtime + CLOCK_SECONDS
        return process if is_writer and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, FileNotFoundError):
        return None


def _by_mark(home: Home) -> list[Leftover]:
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if environment.get(MARK_HOME) == str(home.path):
            found.append(Leftover(environment.get(MARK_PROGRAM, ""), process))
    return found


def _is_main(leftover: Leftover, leftovers: list[Leftover]) -> bool:
    """Return whether the process is its program's first one, not below it.

    Its parent alone is not enough: a shell that a task runs has the marks, but the task between it
    and the worker has a process title in their place.
    """
    try:
        above = {parent.pid for parent in leftover.process.parents()}
    except psutil.Error:
        return False
    return all(
        other.process.pid not in above or other.program != leftover.program for other in leftovers
    )


def _families(processes: list[psutil.Process]) -> list[psutil.Process]:
    family = {process.pid: process for process in processes}
    for process in processes:
        try:
            family |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.Error:
            continue
    family.pop(os.getpid(), None)
    return list(family.values())


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=5)
