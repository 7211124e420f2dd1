"""Whether this machine has room for one more Airflow, in messages with numbers."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.control import cgroups
from apps.dataplane.local.home import Home
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Usage

MB = 1024**2
# Measured on Airflow 3.3, a little above what an idle Deployment uses.
NEEDED_MB = {"celery": 1200, "local": 700}
MIN_DISK_MB = 1024
CGROUP, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_memory_mb() -> int:
    """Return the memory that could be used now: of the machine, or of the container if that is
    less.
    """
    available = psutil.virtual_memory().available
    in_group = cgroups.available_bytes(root=CGROUP, own=OWN_CGROUP)
    return int(min(available, available if in_group is None else in_group) // MB)


def machine_limits() -> Usage:
    """Return the memory and the CPUs of the machine, or of the container if those are less."""
    total = psutil.virtual_memory().total
    in_group = cgroups.limit_bytes(root=CGROUP, own=OWN_CGROUP)
    return Usage(
        memory_bytes=min(total, total if in_group is None else in_group),
        cpu_millis=len(os.sched_getaffinity(0)) * 1000,
    )


def free_disk_mb(home: Home) -> int:
    """Return the free space of the disk that holds the home, in MB."""
    return shutil.disk_usage(home.path).free // MB


def check_room(home: Home, spec: DeploymentSpec) -> None:
    """Raise Permanent when a first start of the Deployment would not fit on this machine."""
    needed, available = NEEDED_MB.get(spec.executor, 1200), available_memory_mb()
    if available < needed:
        less = (
            ", or choose the Local executor, which needs less" if spec.executor != "local" else ""
        )
        raise Permanent(
            f"This Deployment needs about {needed} MB of memory; {available} MB are left. "
            f"Delete another Deployment{less}."
        )
    disk = free_disk_mb(home)
    if disk < MIN_DISK_MB:
        raise Permanent(
            f"The disk of {home.path} has {disk} MB left: free some space, to 1 GB at least."
        )


@contextmanager
def a_full_disk_passes(home: Home) -> Iterator[None]:
    """Turn a full disk in the middle of a pass into Temporary: with room the pass continues."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Temporary(
            f"The disk of {home.path} is full. Free some space, 1 GB or more."
        ) from error
