"""Databases of a real Airflow 2.11 are read, each in a PostgreSQL of its own."""

import gzip
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from cryptography.fernet import Fernet

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.imports import scratch as scratch_module
from apps.dataplane.imports.preparing import import_database
from apps.dataplane.imports.scratch import Scratch
from apps.dataplane.imports.tunnel import PORT, tunnel
from apps.dataplane.imports.types import ImportedDatabase, ImportSource, SourceServer
from apps.dataplane.local.backups.archives import run_program, sha256_of
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from tests.airflow_imports.airflow_2_11 import make
from tests.dataplane import postgres_servers
from tests.embedded import running_services
from tests.kubernetes.certificates import Authority

pytestmark = pytest.mark.slow
CUSTOM, PLAIN = make.HERE / "custom.dump.gz", make.HERE / "plain.sql.gz"
ALLOWED = {"networks": ("127.0.0.0/8",), "setting": "PORTAL_IMPORT_NETWORKS"}


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with running_services() as found:
        yield found


@pytest.fixture
def config(home: Home) -> LocalConfig:
    return LocalConfig(
        database_url=embedded_databases.database_url(home), broker_url="", edge_url=""
    )


@pytest.fixture
def scratch(home: Home) -> Scratch:
    # The account that runs PostgreSQL for root may enter the home.
    return Scratch(folder=home.path / "imports")


@pytest.fixture
def read(home: Home, scratch: Scratch, tmp_path: Path) -> Any:
    """Import a source, and look that nothing is left of it but the archive."""

    def read(dump: Path | None = None, **fields: Any) -> ImportedDatabase:
        fields = {"fernet_keys": (make.FERNET_KEY,), **fields}
        source = ImportSource(key=secrets.token_hex(4), dump_path=str(dump or ""), **fields)
        folder = tmp_path / "archives"
        folder.mkdir(exist_ok=True)
        try:
            return import_database(
                home=home, scratch=scratch, source=source, path=folder / "out.dump"
            )
        finally:
            assert {path.name for path in folder.iterdir()} <= {"out.dump"}
            assert [path.name for path in scratch.folder.iterdir()] == ["lock"]
            assert not servers(scratch)

    return read


@pytest.fixture
def source_url(home: Home, config: LocalConfig) -> Iterator[str]:
    """A database that holds what the 2.11 has."""
    with psycopg.connect(config.database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE airflow LOGIN PASSWORD 'a:b/c@d'")
        connection.execute("GRANT airflow TO CURRENT_USER")
        connection.execute("CREATE DATABASE airflow TEMPLATE template0 OWNER airflow")
    server = config.database_url.rpartition("@")[2].partition("/")[0]
    url = f"postgresql://airflow:a%3Ab%2Fc%40d@{server}/airflow"
    yield url
    with psycopg.connect(config.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE airflow WITH (FORCE)")
        connection.execute("DROP ROLE airflow")


def servers(scratch: Scratch) -> list[psutil.Process]:
    """Return the processes of a PostgreSQL whose data are there."""
    where = str(scratch.server)
    return [one for one in psutil.process_iter(["cmdline"]) if where in (one.info["cmdline"] or ())]


def restored(home: Home, url: str, tmp_path: Path) -> None:
    archive = tmp_path / "custom.dump"
    archive.write_bytes(gzip.decompress(CUSTOM.read_bytes()))
    options = ["--no-owner", "--no-privileges", str(archive)]
    assert run_program(home, "pg_restore", options, url=url)[0] == 0


def server_of(url: str, **changes: Any) -> SourceServer:
    fields = {
        "host": "127.0.0.1",
        "port": int(url.rpartition(":")[2].partition("/")[0]),
        "database": "airflow",
        "user": "airflow",
        "password": "a:b/c@d",
        "encryption": "none",
        **ALLOWED,
    }
    return SourceServer(**{**fields, **changes})


@pytest.mark.parametrize("dump", [CUSTOM, PLAIN])
def test_a_dump_of_a_real_2_11_is_read(read: Any, tmp_path: Path, dump: Path) -> None:
    imported = read(dump)

    found = imported.found
    assert (found.airflow_version, found.versions) == ("2.10.3", "2.10.3 to 2.11")
    assert found.counts["DAG runs"] == 1
    assert (found.counts["Connections"], found.counts["Variables"], found.secrets) == (1, 1, 2)
    assert found.users == ("ada@example.org",)
    assert {one.dag_id: one.is_paused for one in found.dags} == {
        "never_unpaused": True,
        "orders_daily": False,
        "stock_hourly": False,
    }
    archive = tmp_path / "archives" / "out.dump"
    assert imported.postgres >= 18, "a cluster restores it with a pg_restore as new"
    assert (sha256_of(archive), archive.stat().st_size) == (imported.sha256, imported.size_bytes)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert make.FERNET_KEY not in repr(imported)
    assert imported.fernet_key not in repr(imported)


def test_secrets_are_under_a_new_key_dags_are_paused_and_passwords_are_gone(
    home: Home, source_url: str, read: Any, tmp_path: Path
) -> None:
    older, other = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    imported = read(CUSTOM, fernet_keys=(older, make.FERNET_KEY, other))
    archive = str(tmp_path / "archives" / "out.dump")
    assert run_program(home, "pg_restore", ["--no-owner", archive], url=source_url)[0] == 0

    with psycopg.connect(source_url) as connection:
        password = connection.execute("SELECT password FROM connection").fetchone()
        variable = connection.execute("SELECT val FROM variable").fetchone()
        paused = connection.execute("SELECT bool_and(is_paused) FROM dag").fetchone()
        users = connection.execute("SELECT count(*) FROM ab_user").fetchone()

    fernet = Fernet(imported.fernet_key)
    assert fernet.decrypt(password[0]).decode() == make.PASSWORD
    assert fernet.decrypt(variable[0]).decode() == make.VARIABLE
    assert (paused, users) == ((True,), (0,))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ((), "Enter the Fernet key of that Airflow"),
        (
            (Fernet.generate_key().decode(),),
            "does not decrypt 2 of 2 secrets.*connection warehouse",
        ),
        (("short",), "The Fernet key is none"),
    ],
)
def test_another_fernet_key_is_one_sentence_and_makes_nothing(
    read: Any, tmp_path: Path, keys: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(Permanent, match=sentence):
        read(CUSTOM, fernet_keys=keys)

    assert not (tmp_path / "archives" / "out.dump").exists()


def test_a_damaged_dump_and_a_database_without_airflow_are_said(read: Any, tmp_path: Path) -> None:
    archive = gzip.decompress(CUSTOM.read_bytes())
    plain = gzip.decompress(PLAIN.read_bytes())
    for content, sentence in (
        (archive[:-5000], "could not read the dump"),
        (archive[:2000] + bytes(2000) + archive[4000:], "could not read the dump"),
        (plain.replace(b"public.alembic_version", b"public.other"), "no table alembic_version"),
        (plain.replace(b"5f2621c13b39", b"686269002441"), "Upgrade it to 2.11 where it is"),
        (plain.replace(b"5f2621c13b39", b"abcdefabcdef"), "no Airflow has that the portal knows"),
    ):
        path = tmp_path / "bad"
        path.write_bytes(content)
        with pytest.raises(Permanent, match=sentence):
            read(path)


@pytest.mark.parametrize(
    "evil",
    [
        "COPY public.alembic_version FROM PROGRAM 'touch {mark}';",
        "COPY public.alembic_version TO '{mark}';",
        "ALTER ROLE CURRENT_USER SUPERUSER;",
        "CREATE DATABASE stolen;",
        "SELECT pg_read_file('/etc/passwd');",
        "SET ROLE astro_portal;",
    ],
)
def test_what_a_dump_runs_has_no_rights(read: Any, tmp_path: Path, evil: str) -> None:
    mark = tmp_path / "owned"
    plain = gzip.decompress(PLAIN.read_bytes())
    end = b"-- PostgreSQL database dump complete"
    path = tmp_path / "evil"
    path.write_bytes(plain.replace(end, evil.format(mark=mark).encode() + b"\n" + end))

    with pytest.raises(Permanent, match="could not read the dump"):
        read(path)
    assert not mark.exists()


def test_a_running_database_is_read_and_not_changed(
    home: Home, source_url: str, read: Any, tmp_path: Path
) -> None:
    restored(home, source_url, tmp_path)

    imported = read(server=server_of(source_url))

    assert imported.found.counts["DAG runs"] == 1
    with psycopg.connect(source_url) as connection:
        row = connection.execute("SELECT bool_and(is_paused) FROM dag").fetchone()
        assert row == (False,)
        assert connection.execute("SELECT count(*) FROM ab_user").fetchone() == (1,)


def test_what_is_wrong_with_a_server_is_said(source_url: str, read: Any) -> None:
    for changes, kind, sentence in (
        ({"password": "wrong"}, Permanent, "refuses the user airflow or its password"),
        ({"database": "none"}, Permanent, "has no database none"),
        ({}, Permanent, "has no tables of Airflow"),
        ({"port": 9}, Temporary, "Nothing accepts connections at 127.0.0.1:9"),
        ({"networks": ()}, Permanent, "PORTAL_IMPORT_NETWORKS"),
        ({"host": "169.254.169.254"}, Permanent, "metadata service"),
        ({"host": "no-such-host.invalid"}, Permanent, "cannot be looked up"),
        ({"encryption": "verified"}, Permanent, "speaks no TLS"),
    ):
        with pytest.raises(kind, match=sentence):
            read(server=replace(server_of(source_url), **changes))


@pytest.mark.skipif(postgres_servers.programs() is None, reason="needs Debian's PostgreSQL")
def test_a_server_that_takes_tls_alone_is_read_and_its_certificate_checked(
    home: Home, read: Any, tmp_path: Path
) -> None:
    authority = Authority("their CA")
    with postgres_servers.encrypted_server(authority, "localhost") as port:
        fields = {"host": "localhost", "port": port, "database": "postgres"}
        fields |= {"user": postgres_servers.USER, "password": postgres_servers.PASSWORD}
        server = SourceServer(**fields, networks=("127.0.0.0/8", "::1/128"), setting="X")
        with pytest.raises(Permanent, match="certificate of localhost is not trusted"):
            read(server=server)
        with pytest.raises(Permanent, match="no tables of Airflow"):
            read(server=replace(server, ca=authority.certificate))
        with pytest.raises(Permanent, match="no tables of Airflow"):
            read(server=replace(server, encryption="unverified"))
        with tunnel(replace(server, ca=authority.certificate), tmp_path):
            said = {"host": str(tmp_path), "port": PORT, "dbname": "postgres"}
            said |= {"user": server.user, "password": server.password}
            with psycopg.connect(**said) as connection:
                sent = "x" * 20_000_000
                [back] = connection.execute("SELECT %s::text", [sent]).fetchone() or [""]
        assert back == sent


def test_a_disk_without_room_is_said_before_anything_is_made(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch_module, "RESERVED_BYTES", 2**60)

    with pytest.raises(Permanent, match="no room for the database"):
        read(CUSTOM)


def test_a_hostile_view_in_place_of_a_table_runs_as_a_role_without_rights(
    read: Any, tmp_path: Path
) -> None:
    plain = gzip.decompress(PLAIN.read_bytes())
    end = b"-- PostgreSQL database dump complete"
    evil = (
        "ALTER TABLE public.dag RENAME TO was; CREATE VIEW public.dag AS SELECT current_user::text "
        "|| ' ' || session_user::text AS dag_id, fileloc, is_paused, is_active FROM public.was;"
    )
    path = tmp_path / "evil"
    path.write_bytes(plain.replace(end, evil.encode() + b"\n" + end))

    users = {name for one in read(path).found.dags for name in one.dag_id.split()}

    assert len(users) == 1
    assert users == {"airflow_import"}


def test_an_airflow_whose_tables_are_in_another_schema_is_read(
    home: Home, config: LocalConfig, source_url: str, read: Any, tmp_path: Path
) -> None:
    """As at Astronomer's Private Cloud: `airflow`, beside one of Celery."""
    restored(home, source_url, tmp_path)
    with psycopg.connect(source_url, autocommit=True) as connection:
        connection.execute('ALTER SCHEMA public RENAME TO "My airflow"')
        connection.execute("CREATE SCHEMA celery")
        connection.execute("CREATE TABLE celery.dag (id int)")
    custom, plain = tmp_path / "other.dump", tmp_path / "other.sql"
    for path, kind in ((custom, "custom"), (plain, "plain")):
        options = [f"--format={kind}", "--no-owner", "--file", str(path)]
        assert run_program(home, "pg_dump", options, url=source_url)[0] == 0
    counts = read(server=server_of(source_url)).found.counts

    assert counts["DAG runs"] == 1
    assert read(custom).found.counts == counts
    assert read(plain).found.counts == counts
    archive = str(tmp_path / "archives" / "out.dump")
    with psycopg.connect(source_url, autocommit=True) as connection:
        connection.execute('DROP SCHEMA "My airflow", celery CASCADE')
        connection.execute("CREATE SCHEMA public")
    assert run_program(home, "pg_restore", ["--no-owner", archive], url=source_url)[0] == 0
    with psycopg.connect(source_url) as connection:
        assert connection.execute("SELECT count(*) FROM public.dag").fetchone() == (3,)
        assert connection.execute("SELECT to_regclass('celery.dag')").fetchone() == (None,)
