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
CARELESS = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]


@contextmanager
def temporary_home() -> Iterator[Home]:
    """Make an empty home that PostgreSQL's system user may enter: as root, `tmp_path` is not."""
    path = Path(tempfile.mkdtemp(prefix="astro-portal-"))
    try:
        yield Home(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running_services() -> Iterator[Home]:
    """Run both in a temporary home; ask `services.database_url(home)` and `redis_url(home)`."""
    with temporary_home() as home, running_services_of(home):
        yield home


@contextmanager
def running_services_of(home: Home) -> Iterator[None]:
    embedded_databases.prepare_home(home)
    choose_ports(home)
    embedded_databases.init_postgres(home)
    account = postgres_account(home)
    with (
        (home.logs / "postgres.log").open("ab") as postgres_log,
        (home.logs / "valkey.log").open("ab") as log,
    ):
        postgres = subprocess.Popen(
            [*embedded_databases.postgres_command(home), *CARELESS],
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
