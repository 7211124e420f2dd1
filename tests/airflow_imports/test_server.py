"""The PostgreSQL in which an Airflow from elsewhere is read: what it can do, and that it ends."""

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded

from apps.dataplane.errors import Permanent
from apps.dataplane.imports import scratch as scratch_module
from apps.dataplane.imports.scratch import Scratch, ScratchBusy, claimed, remove_leftovers
from apps.dataplane.imports.server import throwaway_database
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases, system_user
from tests.airflow_imports.airflow_2_11 import make
from tests.embedded import temporary_home

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).resolve().parents[2]
HOLD = """
import resource, sys, time
from pathlib import Path
from apps.dataplane.imports.scratch import Scratch, claimed
from apps.dataplane.imports.server import throwaway_database
from apps.dataplane.local.home import Home

# As each worker of the portal has.
_, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (512 * 1024**2, hard))
scratch = Scratch(folder=Path(sys.argv[2]))
with claimed(scratch), throwaway_database(Home(Path(sys.argv[1])), scratch) as url:
    print(url, flush=True)
    time.sleep(600)
"""
READ = """
import sys
from pathlib import Path
from apps.dataplane.imports.preparing import import_database
from apps.dataplane.imports.scratch import Scratch
from apps.dataplane.imports.types import ImportSource
from apps.dataplane.local.home import Home

place = Path(sys.argv[1])
found = import_database(
    home=Home(place),
    scratch=Scratch(folder=place / "imports", most_bytes=512 * 1024**2),
    source=ImportSource(key="x", dump_path=sys.argv[2], fernet_keys=(sys.argv[3],)),
    path=place / "out.dump",
).found
print(found.airflow_version)
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with temporary_home() as found:
        embedded_databases.prepare_home(found)
        yield found


@pytest.fixture
def scratch(home: Home) -> Scratch:
    return Scratch(folder=home.path / "imports")


def command_of(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


def server_of(scratch: Scratch) -> psutil.Process:
    where = str(scratch.server)
    found = psutil.process_iter(["cmdline"])
    [server] = [one for one in found if where in (one.info["cmdline"] or ())]
    return server


def test_it_has_no_network_and_one_role_that_can_sign_in(home: Home, scratch: Scratch) -> None:
    with claimed(scratch), throwaway_database(home, scratch) as url:
        password = url.partition("//")[2].partition("@")[0].partition(":")[2]
        server = server_of(scratch)
        processes = [server, *server.children(recursive=True)]
        assert [one.laddr for one in server.net_connections("inet")] == []
        assert password not in str([one.cmdline() for one in processes])
        assert password not in str([one.environ() for one in processes])
        assert scratch.server.stat().st_mode & 0o777 == 0o700
        assert scratch.socket.resolve().stat().st_mode & 0o777 == 0o700
        for role, database in (("postgres", "postgres"), ("airflow_import", "postgres")):
            other = url.replace("//airflow_import:", f"//{role}:")
            with pytest.raises(psycopg.OperationalError, match="pg_hba"):
                psycopg.connect(other.removesuffix("airflow_import") + database)
        with psycopg.connect(url) as connection:
            query = "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR "
            query += "rolbypassrls FROM pg_roles WHERE rolname = current_user"
            assert connection.execute(query).fetchone() == (False,)

    assert not server.is_running()
    assert [path.name for path in scratch.folder.iterdir()] == ["lock"]


def test_it_ends_with_a_worker_that_is_killed_and_what_is_left_goes_with_the_next_sweep(
    home: Home, scratch: Scratch
) -> None:
    arguments = (str(home.path), str(scratch.folder))
    worker = subprocess.Popen(command_of(HOLD, *arguments), cwd=PROJECT, stdout=subprocess.PIPE)
    assert worker.stdout
    url = worker.stdout.readline().decode().strip()
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.OutOfMemory):
        connection.execute("SELECT length(repeat('x', 1000000000))")
    sockets = scratch.socket.resolve()
    running = psutil.Process(worker.pid).children(recursive=True)
    with pytest.raises(ScratchBusy), claimed(scratch):
        pass
    remove_leftovers(scratch)
    assert scratch.server.exists(), "it is being read"

    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()

    assert running
    _, alive = psutil.wait_procs(running, timeout=20)
    assert alive == []
    assert scratch.server.exists()
    remove_leftovers(scratch)
    assert [path.name for path in scratch.folder.iterdir()] == ["lock"]
    assert not sockets.exists()


@pytest.mark.parametrize("is_full", [True, False])
def test_it_ends_in_the_middle_when_no_room_is_left(
    home: Home, scratch: Scratch, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    """Whatever fills the disk: also rows that a trigger of the dump writes."""
    little = scratch if is_full else replace(scratch, most_bytes=120 * 1024**2)
    sentence = "no room for the database" if is_full else "PORTAL_IMPORT_SCRATCH_MIB"

    def fill() -> None:
        with (
            claimed(little),
            throwaway_database(home, little) as url,
            psycopg.connect(url) as connection,
        ):
            if is_full:
                monkeypatch.setattr(scratch_module, "RESERVED_BYTES", 2**60)
            rows = "SELECT md5(n::text) FROM generate_series(1, 2e9) n"
            connection.execute(f"CREATE TABLE x AS {rows}".encode())

    with pytest.raises(Permanent, match=sentence):
        fill()

    assert [path.name for path in scratch.folder.iterdir()] == ["lock"]


def test_it_ends_with_the_time_of_a_job(home: Home, scratch: Scratch) -> None:
    running: list[psutil.Process] = []

    def read() -> None:
        with claimed(scratch), throwaway_database(home, scratch) as url, psycopg.connect(url):
            server = server_of(scratch)
            running.extend([server, *server.children()])
            raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        read()

    assert len(running) > 1
    assert not [one for one in running if one.is_running()]


@pytest.mark.skipif(os.geteuid() != 0, reason="Another user can be had as root only.")
def test_a_user_who_is_not_root_reads_one_where_no_machine_was_prepared() -> None:
    """As the image of the portal does: the home has no PostgreSQL, and nothing was started."""
    with temporary_home() as place:
        account = system_user.postgres_account(place)
        python = python_for(account)
        if python is None:
            pytest.skip("No Python of this version is where another user may enter.")
        system_user.give_to(place.path, account)
        arguments = (str(place.path), str(make.HERE / "custom.dump.gz"), make.FERNET_KEY)

        done = subprocess.run(
            [python, "-c", READ, *arguments],
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": sysconfig.get_path("purelib")},
            user=account,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.stdout.strip() == "2.10.3", done.stderr
        archive = place.path / "out.dump"
        assert archive.owner() == account
        assert archive.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in (place.path / "imports").iterdir()] == ["lock"]


def python_for(account: str) -> str | None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (Path(sys.executable).resolve(), Path("/usr/bin") / version):
        if path.exists() and system_user.can_traverse(path, account):
            return str(path)
    return None
