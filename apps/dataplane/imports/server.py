"""A PostgreSQL that lives as long as one Airflow from elsewhere is read.

What is in a dump is the work of strangers, and some of it runs. Here there is nothing else: the
server has no database of the portal and of no Airflow, no network, and one role that can sign in,
which has no rights. Nothing of it outlives a power cut, so nothing is written twice. It ends with
the process that started it, however that ends.

    initdb ──▶ postgres --single: role, database ──▶ postgres, on a socket ──▶ ended, removed
"""

import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import getpid
from pathlib import Path
from threading import Event, Thread

import psutil
import psycopg

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.imports import server_program
from apps.dataplane.imports.scratch import Scratch
from apps.dataplane.imports.tunnel import PORT, socket_url
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import system_user
from apps.dataplane.local.machine.embedded_databases import postgres_binaries

PROGRAM = Path(server_program.__file__)
# The role and its database.
NAME = "airflow_import"
START_SECONDS, STOP_SECONDS, CHECK_SECONDS = 60.0, 10.0, 0.5
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "max_connections": "10",
    "shared_buffers": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "io_method": "sync",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    # A dump locks each table and index of a database at once.
    "max_locks_per_transaction": "1000",
    "log_min_error_statement": "panic",  # a statement that failed may hold a secret
    "log_min_messages": "fatal",
    "timezone": "UTC",
}
ACCESS = f"local {NAME} {NAME} scram-sha-256\n"
ENDED = (
    "PostgreSQL ended while the database was being read. Bring the Airflow again; if that happens "
    "each time, its memory may not be enough."
)


@contextmanager
def throwaway_database(home: Home, scratch: Scratch) -> Iterator[str]:
    """Yield the URL of an empty database, for the role that owns it. Raises Permanent or Temporary,
    also in the middle, when no room is left.
    """
    account = system_user.postgres_account(home)
    binaries = postgres_binaries(home)
    password = secrets.token_urlsafe(24)
    _make(binaries, scratch.server, account, password)
    sockets = Path(tempfile.mkdtemp(prefix="astro-portal-"))
    scratch.socket.symlink_to(sockets)
    system_user.give_to(sockets, account)
    log = scratch.files / "postgres.log"
    process = _started(binaries, scratch.server, account, sockets, log)
    url = socket_url(str(sockets), PORT, name=NAME, role=NAME, password=password)
    watch = _Watch(scratch, process)
    watch.start()
    try:
        _wait(url, process, log)
        yield url
    except Exception:
        if watch.problem is not None:
            raise watch.problem from None
        raise
    finally:
        watch.ended.set()
        _end(process)
        watch.join()


class _Watch(Thread):
    """Ends the server when no room is left, whatever fills it: also rows that a trigger writes."""

    def __init__(self, scratch: Scratch, process: "subprocess.Popen[bytes]") -> None:
        super().__init__(daemon=True)
        self.scratch, self.process = scratch, process
        self.problem: DataPlaneError | None = None
        self.ended = Event()

    def run(self) -> None:
        while self.problem is None and not self.ended.wait(CHECK_SECONDS):
            try:
                self.scratch.check_room()
            except DataPlaneError as error:
                self.problem = error
                self.process.send_signal(signal.SIGQUIT)


def _make(binaries: Path, data: Path, account: str, password: str) -> None:
    data.mkdir(mode=0o700)
    system_user.give_to(data, account)
    if not system_user.can_traverse(data / "x", account):
        raise Permanent(
            f"PostgreSQL cannot run as root, and the user {account} may not enter the folders "
            f"above {data}. Set PORTAL_IMPORT_FOLDER to another folder."
        )
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8"]
    initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    _run(account, [*initdb, "--auth=reject", "--no-sync"], "")
    # Its superuser cannot sign in at all.
    (data / "pg_hba.conf").write_text(ACCESS)
    statements = (
        f"CREATE ROLE {NAME} LOGIN CONNECTION LIMIT 5 PASSWORD '{password}'",
        f"CREATE DATABASE {NAME} OWNER {NAME} TEMPLATE template0",
    )
    single = [str(binaries / "postgres"), "--single", "-D", str(data), "postgres"]
    output = _run(account, single, "".join(f"{one};\n" for one in statements))
    if "ERROR:" in output:
        raise Permanent("PostgreSQL could not be prepared.", log=tuple(output.splitlines()[-5:]))


def _run(account: str, command: list[str], text: str) -> str:
    done = subprocess.run(
        _command(account, command),
        input=text,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={},
        check=False,
    )
    if done.returncode:
        lines = tuple(done.stdout.strip().splitlines()[-5:])
        raise Permanent("PostgreSQL could not be prepared.", log=lines)
    return done.stdout


def _started(
    binaries: Path, data: Path, account: str, sockets: Path, log: Path
) -> "subprocess.Popen[bytes]":
    settings = {**SETTINGS, "unix_socket_directories": str(sockets)}
    command = [str(binaries / "postgres"), "-D", str(data)]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with log.open("wb") as output:
        return subprocess.Popen(
            _command(account, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={},
        )


def _command(account: str, command: list[str]) -> list[str]:
    return [sys.executable, "-I", "-S", str(PROGRAM), account or "-", str(getpid()), *command]


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=10).close()
            return
        time.sleep(0.05)
    lines = tuple(log.read_text(errors="replace").splitlines()[-5:])
    raise Temporary("PostgreSQL could not be started to read the database.", log=lines)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its sessions at once: nothing of it is needed any more."""
    with suppress(psutil.NoSuchProcess):
        sessions = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        for one in sessions:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.kill()
    process.wait()
