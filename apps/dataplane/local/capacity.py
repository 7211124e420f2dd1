"""Whether this machine has room for one more Airflow, in sentences with numbers."""

import shutil
from pathlib import Path

import psutil

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.spec import DeploymentSpec

MB = 1024**2
# Measured on Airflow 3.3, a little above what an idle Deployment uses.
NEEDED_MB = {"celery": 1200, "local": 700}
MIN_DISK_MB = 1024
CGROUP = Path("/sys/fs/cgroup")


def available_memory_mb() -> int:
    """Return the memory that could be used now: of the machine, or of the container if that is
    less.
    """
    available = psutil.virtual_memory().available
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return int(available // MB)
    if limit.isdigit():
        available = min(available, int(limit) - used)
    return int(available // MB)


def free_disk_mb(home: Home) -> int:
    return shutil.disk_usage(home.path).free // MB


def check_room(home: Home, spec: DeploymentSpec) -> None:
    """Raise Permanent when a first start of the Deployment would not fit on this machine."""
    needed, available = NEEDED_MB.get(spec.executor, 1200), available_memory_mb()
    if available < needed:
        raise Permanent(
            f"This Deployment needs about {needed} MB of memory; {available} MB are left. "
            "Stop or delete another Deployment, or choose the LocalExecutor, which needs less."
        )
    disk = free_disk_mb(home)
    if disk < MIN_DISK_MB:
        raise Permanent(
            f"The disk of {home.path} has {disk} MB left: free some space, to 1 GB at least."
        )
