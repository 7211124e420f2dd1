"""Programs of others that a test starts on loopback and stops again, and where they are kept."""

import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS, STOP_SECONDS = 60.0, 10.0


class PeerMissing(Exception):
    """A program cannot be had on this machine; the text says why."""


def cache_folder(name: str, *, pins: str) -> Path:
    """Return the folder of exactly these pins: another version gets another folder."""
    chosen = os.environ.get("ASTRO_PORTAL_TEST_CACHE")
    base = Path(chosen) if chosen else Path.home() / ".cache" / "astro-portal-tests"
    return base / "sso" / f"{name}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def serving(command: list[str], *, port: int, log: Path, **environment: str) -> Iterator[None]:
    """Run a server in a process group of its own while the block runs."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(port, process, log)
        yield
    finally:
        _end(process)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"{process.args} does not serve: {log.read_text()[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            break
    # Workers that outlived their parent are of the same group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
