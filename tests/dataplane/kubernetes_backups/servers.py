"""A PostgreSQL of Debian, whose version is that of the clusters' images."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.dataplane.encrypted_server import ACCOUNT, programs


@contextmanager
def plain_server() -> Iterator[int]:
    """Run a server that trusts whoever comes; yield its port."""
    folder = Path(tempfile.mkdtemp(prefix="astro-portal-dumps-"))
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    data = folder / "data"
    _run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "-D", data)
    server = subprocess.Popen(
        [programs() / "postgres", "-D", data, "-p", str(port), "-k", folder, "-F"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=ACCOUNT,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    try:
        _wait(port)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _run(program: str, *arguments: os.PathLike[str] | str) -> None:
    subprocess.run(
        [programs() / program, *arguments], check=True, capture_output=True, user=ACCOUNT, cwd="/"
    )


def _wait(port: int) -> None:
    ready = [programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + 30
    while subprocess.run(ready, check=False).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.1)
