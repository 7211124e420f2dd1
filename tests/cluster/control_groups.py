"""The control groups of a node: one of its own in every hierarchy, with version 1 or 2."""

import os
import time
from contextlib import suppress
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
# Else all pods together count as much as one process of the host.
CPU_WEIGHTS = {"cpu.shares": "10240", "cpu.weight": "1000"}


def roots() -> list[Path]:
    """Return the top of every hierarchy: one with cgroup v2, several with v1."""
    if (CONTROL_GROUPS / "cgroup.procs").exists():
        return [CONTROL_GROUPS]
    return [place.parent for place in sorted(CONTROL_GROUPS.glob("*/cgroup.procs"))]


def make(name: str) -> None:
    for root in roots():
        (root / name).mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (root / name / setting).exists() and (root / setting).exists():
                (root / name / setting).write_text((root / setting).read_text())
        for setting, weight in CPU_WEIGHTS.items():
            if (root / name / setting).exists():
                (root / name / setting).write_text(weight)


def remove(name: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [root / name for root in roots() if (root / name).exists()]
        for top in left:
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        if not left:
            return
        time.sleep(0.2)


def remove_stale() -> None:
    """Those of a node whose tests were killed: nothing runs in them any more."""
    names = {path.name for root in roots() for path in root.glob("astro-portal-*")}
    for name in names:
        remove(name)
