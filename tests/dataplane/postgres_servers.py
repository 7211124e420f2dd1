"""PostgreSQL servers of Debian: one that takes encrypted connections alone, with a certificate of
its own CA, and one that trusts whoever comes. The version is that of the clusters' images.
"""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.certificates import Authority

USER = "maker"
PASSWORD = "of-the-maker"  # noqa: S105 - of a server that lasts for a test
ACCOUNT = "postgres" if os.geteuid() == 0 else None


def programs() -> Path | None:
    """Return Debian's programs of PostgreSQL, which know TLS; those in our lock do not."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    return Path(found[-1]).parent if found else None


@contextmanager
def encrypted_server(authority: Authority, *names: str) -> Iterator[int]:
    """Run a server whose certificate is for `names`; yield its port."""
    with _folder() as folder:
        _prepare(folder, authority, names)
        tls = {"ssl_cert_file": folder / "server.crt", "ssl_key_file": folder / "server.key"}
        with _running(folder, {"ssl": "on", **tls}) as port:
            yield port


@contextmanager
def plain_server() -> Iterator[int]:
    """Run a server that asks for no password; its superuser is `postgres`. Yield its port."""
    with _folder() as folder:
        if ACCOUNT:
            shutil.chown(folder, ACCOUNT, ACCOUNT)
        _run("initdb", "--no-sync", "--username=postgres", "--auth=trust", str(folder / "data"))
        with _running(folder, {}) as port:
            yield port


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="astro-portal-postgres-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, authority: Authority, names: tuple[str, ...]) -> None:
    signed = authority.server(*names)
    files = {"password": PASSWORD, "server.crt": signed.certificate, "server.key": signed.key}
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    if ACCOUNT:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, ACCOUNT, ACCOUNT)
    options = [f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
    _run("initdb", "--no-sync", *options, str(folder / "data"))
    rules = "hostssl all all 127.0.0.1/32 scram-sha-256\n"
    (folder / "data" / "pg_hba.conf").write_text(rules)


@contextmanager
def _running(folder: Path, more: Mapping[str, str | Path]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        **more,
    }
    command = [str(_program("postgres")), "-D", str(folder / "data"), "-p", str(port)]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, user=ACCOUNT, cwd="/")
    try:
        _wait(port, server, folder / "log")
        yield port
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    ready = [str(_program("pg_isready")), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    while subprocess.run(ready, check=False).returncode:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(_program(name)), *arguments],
        user=ACCOUNT,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _program(name: str) -> Path:
    folder = programs()
    assert folder
    return folder / name
