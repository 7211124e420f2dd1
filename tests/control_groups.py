"""Real control groups, for tests of what happens when memory is short."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.dataplane.local.control.capacity import CGROUP


@contextmanager
def limited_group(limit_mb: int) -> Iterator[Path]:
    """Make a group with a limit on memory, in whichever version this machine has, and remove it
    when its processes have ended. Skips the test where that is not allowed.
    """
    is_v1 = (CGROUP / "memory/memory.limit_in_bytes").exists()
    group = (CGROUP / "memory" if is_v1 else CGROUP) / f"portal-test-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if is_v1 else "memory.max")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not limit.exists():
            pytest.skip("memory is not controlled at the root of the control groups")
        limit.write_text(str(limit_mb * 2**20))
        yield group
    finally:
        for _ in range(50):
            if not (group / "cgroup.procs").read_text():
                break
            time.sleep(0.1)
        group.rmdir()
