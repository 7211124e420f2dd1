"""PostgreSQL and Valkey for tests: real, in a folder of their own, without supervisord."""

import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine.ports import choose_ports
from apps.dataplane.local.machine.system_user import postgres_account

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
# Nothing here outlives the test run, so nothing has to survive a power cut.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# What tests write is rolled back: there is nothing to vacuum, to count or to send anywhere. They
# ask through a socket in the database's folder, which takes a third less time than loopback.
ROLLED_BACK = {
    "unix_socket_directories": ".",
    "autovacuum": "off",
    "track_activities": "off",
    "track_counts": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@contextmanager
def temporary_home() -> Iterator[Home]:
    """Make an empty home that PostgreSQL's system user may enter: as root, `tmp_path` is not."""
    path = Path(tempfile.mkdtemp(prefix="astro-portal-"))
    try:
        yield Home(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running_services(**settings: str) -> Iterator[Home]:
    """Run both in a temporary home; ask `services.database_url(home)` and `redis_url(home)`.
    `settings` are PostgreSQL's.
    """
    with temporary_home() as home, running_services_of(home, **settings):
        yield home


@contextmanager
def running_services_of(home: Home, **settings: str) -> Iterator[None]:
    embedded_databases.prepare_home(home)
    choose_ports(home)
    embedded_databases.init_postgres(home)
    with (home.postgres / "pg_hba.conf").open("a") as access:
        access.write("local all all scram-sha-256\n")  # of use with `unix_socket_directories`
    given = {**CARELESS, **settings}
    account = postgres_account(home)
    with (
        (home.logs / "postgres.log").open("ab") as postgres_log,
        (home.logs / "valkey.log").open("ab") as log,
    ):
        postgres = subprocess.Popen(
            [
                *embedded_databases.postgres_command(home),
                *(part for name, value in given.items() for part in ("-c", f"{name}={value}")),
            ],
            stdout=postgres_log,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=account or None,
            group=account or None,
            extra_groups=[] if account else None,
            preexec_fn=_end_with_parent,
        )
        valkey = subprocess.Popen(
            embedded_databases.valkey_command(home),
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,
        )
    try:
        wait_until_ready(home)
        yield
    finally:
        postgres.send_signal(signal.SIGINT)
        valkey.terminate()
        postgres.wait(30)
        valkey.wait(30)


def _end_with_parent() -> None:
    """Ask Linux for a SIGINT when the test run ends, however it ends."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def wait_until_ready(home: Home, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(embedded_databases.database_url(home), connect_timeout=2).close()
            with redis.Redis.from_url(embedded_databases.redis_url(home)) as client:
                client.ping()
        except (psycopg.OperationalError, redis.RedisError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
