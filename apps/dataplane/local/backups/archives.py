"""PostgreSQL's own programs on archives, and what names an archive: its SHA-256.

A password is passed in the environment, which other users of the machine cannot read, never as an
argument.
"""

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.embedded_databases import postgres_binaries

POLL_SECONDS = 0.2
KEPT_LINES, KEPT_BYTES = 20, 8_192
PROBLEM = "error: "


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run_program(
    home: Home,
    name: str,
    arguments: Sequence[str],
    *,
    url: str,
    check: Callable[[], None] = lambda: None,
) -> tuple[int, tuple[str, ...]]:
    """Run one of PostgreSQL's programs on the database at `url`; return its status and last lines.

    `check` is called several times a second, and ends the program by raising.
    """
    parts = urlsplit(url)
    password = unquote(parts.password or "")
    # Not `hostname`, which is in small letters: a folder with a socket is not.
    address = parts.netloc.rpartition("@")[2]
    target = urlunsplit(parts._replace(netloc=f"{parts.username}@{address}"))
    process = subprocess.Popen(
        [str(postgres_binaries(home) / name), "--no-password", "--dbname", target, *arguments],
        env={"PGPASSWORD": password, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    try:
        lines = _followed(process, check)
        return process.returncode, lines
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _followed(process: "subprocess.Popen[bytes]", check: Callable[[], None]) -> tuple[str, ...]:
    errors = b""
    while True:
        try:
            _, errors = process.communicate(timeout=POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            check()
    lines = errors[-KEPT_BYTES:].decode(errors="replace").splitlines()
    # Details, contexts and statements would quote rows.
    return tuple(line[:300] for line in lines if PROBLEM in line)[-KEPT_LINES:]
