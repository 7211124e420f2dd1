"""PostgreSQL and Valkey of a home: real ones, started as the user that runs the tests."""

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from django.db import connection

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine.ports import choose_ports, free_port, remembered_ports
from tests.embedded import running_services_of, temporary_home


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


@pytest.fixture
def occupied() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def prepared(home: Home) -> Home:
    embedded_databases.prepare_home(home)
    choose_ports(home)
    return home


def test_the_home_is_private_and_folders_above_it_stay_as_they_are(home: Home) -> None:
    above = home.path / "above"
    above.mkdir()
    for folder in (home.path, above):
        folder.chmod(0o755)
    inner = Home(above / "inner")

    embedded_databases.prepare_home(inner)

    mode = stat.S_IMODE(inner.path.stat().st_mode)
    assert mode == (0o710 if os.geteuid() == 0 else 0o700)
    assert stat.S_IMODE(above.stat().st_mode) == 0o755
    for folder in (inner.keys, inner.run, inner.programs, inner.logs):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((inner.keys / "postgres-password").stat().st_mode) == 0o600


def test_a_home_that_cannot_be_written_is_named(home: Home) -> None:
    (home.path / "file").write_text("")

    with pytest.raises(Permanent, match="Set PORTAL_HOME"):
        embedded_databases.prepare_home(Home(home.path / "file" / "below"))


@pytest.mark.django_db
def test_a_dump_may_lock_thousands_of_tables() -> None:
    """Advisory locks take the same places as those of tables."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(1, 5000) n")
        assert cursor.fetchone() == (5000,)


@pytest.mark.slow
def test_both_services_ask_for_their_password(home: Home) -> None:
    embedded_databases.prepare_home(home)
    with running_services_of(home):
        with psycopg.connect(embedded_databases.database_url(home)) as connection:
            row = connection.execute(
                "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles "
                "WHERE rolname = current_user"
            ).fetchone()
        port = embedded_databases.remembered_port(home, "postgres")
        for user in ("astro_portal", "postgres"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"postgresql://{user}:wrong@127.0.0.1:{port}/postgres")
        valkey_port = embedded_databases.remembered_port(home, "valkey")
        with redis.Redis(port=valkey_port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        with redis.Redis.from_url(embedded_databases.redis_url(home, database=255)) as client:
            policy = client.config_get("maxmemory-policy")

    assert row == (False, True, True)
    assert policy == {"maxmemory-policy": "noeviction"}


def test_no_password_is_readable_in_a_list_of_processes(home: Home) -> None:
    prepared(home)

    commands = [
        *embedded_databases.postgres_command(home),
        *embedded_databases.valkey_command(home),
    ]

    for name in ("postgres-password", "valkey-password"):
        assert not any((home.keys / name).read_text() in part for part in commands)


@pytest.mark.slow
def test_a_role_made_by_the_portal_owns_a_database_made_from_a_template(home: Home) -> None:
    embedded_databases.prepare_home(home)
    with (
        running_services_of(home),
        psycopg.connect(embedded_databases.database_url(home), autocommit=True) as connection,
    ):
        connection.execute("CREATE DATABASE seed IS_TEMPLATE true")
        connection.execute("CREATE ROLE one LOGIN PASSWORD 'x'")
        connection.execute("CREATE DATABASE one OWNER one TEMPLATE seed")
        connection.execute("DROP DATABASE one WITH (FORCE)")
        connection.execute("DROP ROLE one")


@pytest.mark.slow
def test_an_initialization_that_was_killed_is_begun_again(home: Home) -> None:
    prepared(home)
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            embedded_databases.init_postgres(home)
        finally:
            os._exit(0)
    unfinished = home.postgres.with_name("postgres.unfinished")
    deadline = time.monotonic() + 10
    while not (unfinished / "base").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not home.postgres.exists()

    embedded_databases.init_postgres(home)

    assert (home.postgres / "PG_VERSION").read_text().strip() == "18"
    assert not unfinished.exists()


def test_it_never_overwrites_what_it_does_not_know(home: Home) -> None:
    prepared(home)
    home.postgres.mkdir()
    (home.postgres / "precious").write_text("data")

    with pytest.raises(Permanent, match="Move it away"):
        embedded_databases.init_postgres(home)

    assert (home.postgres / "precious").read_text() == "data"


def test_ports_are_remembered(home: Home) -> None:
    embedded_databases.prepare_home(home)

    first = choose_ports(home)

    assert choose_ports(home) == first == remembered_ports(home)
    assert len(set(first.values())) == 4


def test_an_occupied_internal_port_is_replaced_unless_it_is_occupied_by_us(
    home: Home, occupied: int
) -> None:
    embedded_databases.prepare_home(home)
    first = choose_ports(home)
    home.ports.write_text(json.dumps({**first, "postgres": occupied}))

    ours = choose_ports(home, ours=frozenset({"postgres"}))
    foreign = choose_ports(home)

    assert ours["postgres"] == occupied
    assert foreign["postgres"] != occupied
    assert foreign["valkey"] == first["valkey"]


@pytest.mark.parametrize(
    ("name", "variable"), [("portal", "PORTAL_PORT"), ("edge", "PORTAL_EDGE_PORT")]
)
def test_an_occupied_port_that_people_know_is_named(
    home: Home, occupied: int, name: str, variable: str
) -> None:
    embedded_databases.prepare_home(home)

    with pytest.raises(Permanent) as caught:
        choose_ports(home, wanted={name: occupied})

    assert caught.value.message == (
        f"Port {occupied} is in use by another program. "
        f"Set {variable} to a free port, or stop that program."
    )


def test_a_port_asked_for_later_replaces_the_remembered_one(home: Home) -> None:
    embedded_databases.prepare_home(home)
    first = choose_ports(home)
    port = free_port()

    second = choose_ports(home, wanted={"portal": port})

    assert second == {**first, "portal": port}
    assert choose_ports(home)["portal"] == port


def test_addresses_of_a_home_never_prepared_are_not_invented(tmp_path: Path) -> None:
    for ask in (
        embedded_databases.database_url,
        embedded_databases.redis_url,
        embedded_databases.portal_port,
        embedded_databases.edge_port,
    ):
        with pytest.raises(FileNotFoundError):
            ask(Home(tmp_path))
