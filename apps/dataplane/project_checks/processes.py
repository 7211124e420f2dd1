"""Run a program to its end: with limits, a deadline, and output that cannot fill the memory."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMITED = Path(__file__).with_name("limited.py")
MOST_OUTPUT_BYTES = 256 * 1024
POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`memory_mib` 0 is unlimited; `file_mib` is the largest file that may be written."""

    wall_seconds: int
    cpu_seconds: int
    memory_mib: int = 0
    file_mib: int = 2048


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended, and the end of what it wrote. `is_late` when its time was over."""

    status: int
    output: str
    is_late: bool = False


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    limits: Limits,
    check: Callable[[], None] | None = None,
) -> Ended:
    """Run the program with `folder` as its working directory. Its whole group ends with it; `check`
    ends it by raising.
    """
    numbers = (limits.cpu_seconds, limits.memory_mib, limits.file_mib)
    limited = [sys.executable, "-I", "-S", str(LIMITED), *map(str, numbers), *command]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            limited,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        is_late = False
        try:
            _follow(process, limits.wall_seconds, check)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            _end_group(process)
        end = output.seek(0, os.SEEK_END)
        output.seek(max(0, end - MOST_OUTPUT_BYTES))
        text = output.read().decode("utf-8", "replace")
    return Ended(status=process.returncode, output=text, is_late=is_late)


def _follow(
    process: "subprocess.Popen[bytes]", seconds: int, check: Callable[[], None] | None
) -> None:
    """Wait for the end. Raises TimeoutExpired, and what `check` raises."""
    deadline = time.monotonic() + seconds
    while check is not None and time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=POLL_SECONDS)
            return
        check()
    process.wait(timeout=max(0.0, deadline - time.monotonic()))


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
