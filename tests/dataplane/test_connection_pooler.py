"""A Deployment whose database server stands behind PgBouncer in transaction mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dataplane.connection_pooler import PROGRAM, connection_pooler
from tests.dataplane.database_pod import PYTHON, RUNTIME, Pod
from tests.dataplane.encrypted_server import PASSWORD, USER, encrypted_server, programs
from tests.kubernetes.certificates import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL of Debian is not installed."),
    pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed."),
    pytest.mark.skipif(PYTHON is None, reason="No test installed an Airflow yet."),
]
MANY_AT_ONCE = """
import asyncio
from airflow import settings
from sqlalchemy import text

RUNS = text("SELECT count(*) FROM dag_run WHERE id > :id")

async def count(number):
    async with settings.AsyncSession() as session:
        for _ in range(5):
            await session.execute(RUNS, {"id": number})
            await session.commit()

async def main():
    await asyncio.gather(*(count(number) for number in range(5)))

asyncio.run(main())
print("all answered")
"""
AUTHORITY = Authority("Ours")


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with encrypted_server(AUTHORITY, "localhost") as port:
        yield port


@pytest.fixture(scope="module")
def pooler(server: int) -> Iterator[int]:
    with connection_pooler(server) as port:
        yield port


def databases(pod: Pod, server: int) -> str:
    """List the databases of the server itself."""
    environment = {"PGPASSWORD": PASSWORD, "PGHOST": "localhost", "PGPORT": str(server)}
    return pod.run(
        ["psql", "-U", USER, "-At", "-c", "SELECT datname FROM pg_database", "postgres"],
        environment,
    )


def test_a_database_is_made_migrated_used_and_dropped_through_it(
    tmp_path: Path, server: int, pooler: int
) -> None:
    pod = Pod(tmp_path, host="localhost", port=pooler, ca=AUTHORITY, sslmode="prefer")
    program = tmp_path / "airflow"
    program.write_text(f'#!/bin/sh\nexec {PYTHON} -m airflow "$@"\n')
    program.chmod(0o700)
    airflow = pod.environment() | {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "PORTAL_READER": pod.secret("tidy-comet-admin")["PORTAL_READER"],
        "PORTAL_AIRFLOW_VERSION": "3.3.2",
    }

    assert [pod.prepare(), pod.prepare()] == ["", ""]
    assert "tidy_comet" in databases(pod, server)
    assert "The database is migrated." in pod.run(
        [str(PYTHON), str(RUNTIME / "pods/migrate.py")], airflow
    )
    assert "all answered" in pod.run([str(PYTHON), "-c", MANY_AT_ONCE], airflow)
    assert pod.drop() == ""
    assert "tidy_comet" not in databases(pod, server)
