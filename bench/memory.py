"""Memory of an idle portal, process by process: proportional set size (PSS)."""

import time
from collections import defaultdict

import psutil

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.cleanup import find_leftovers
from bench.report import Line
from tests.e2e.portal import running_portal

REST_SECONDS = 20
MOST_MIB = 350
COUNTED = ("web", "worker", "collect", "postgres", "valkey", "supervisord")
ALSO = ("keeper", "edge")


def run() -> tuple[list[Line], list[str]]:
    with running_portal() as portal:
        time.sleep(REST_SECONDS)
        used = memory_by_program(portal.home)
    total = sum(used[name] for name in COUNTED)
    lines = [Line(name=f"memory, {name}", ours=f"{used[name]:.0f} MiB PSS") for name in COUNTED]
    lines.append(
        Line(
            name="memory, portal idle",
            ours=f"{total:.0f} MiB PSS",
            goal=f"<= {MOST_MIB} MiB",
            is_met=total <= MOST_MIB,
        )
    )
    beside = ", ".join(f"{name} {used[name]:.0f} MiB" for name in ALSO)
    start = Line(
        name="start, from an empty home",
        ours=f"{portal.start_seconds:.1f} s",
        goal="<= 60 s",
        is_met=portal.start_seconds <= 60,
    )
    return [*lines, start], [f"of the local plane, beside it: {beside}"]


def memory_by_program(home: Home) -> dict[str, float]:
    """Return MiB by name of the program, with its children."""
    program_of: dict[psutil.Process, str] = {}
    for found in sorted(find_leftovers(home), key=lambda one: one.program != "supervisord"):
        for process in [found.process, *_children(found.process)]:
            program_of[process] = found.program
    used: dict[str, float] = defaultdict(float)
    for process, program in program_of.items():
        try:
            used[program] += process.memory_full_info().pss / 2**20
        except psutil.Error:
            continue
    return used


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []
