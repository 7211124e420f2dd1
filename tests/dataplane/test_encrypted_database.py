"""Airflow's connections by TLS to a real PostgreSQL server that the settings of a cluster name:
with what pods are given.
"""

import os
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.dataplane.kubernetes.apply.rollout import OTHER_NAME, UNENCRYPTED, UNTRUSTED, explained
from apps.dataplane.kubernetes.config import DatabaseServer
from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.places import DATABASE_CA
from tests.dataplane.encrypted_server import PASSWORD, USER, encrypted_server, programs
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import find
from tests.dataplane.local_world import installed_python
from tests.dataplane.specs import make_runtime
from tests.kubernetes.certificates import Authority

PYTHON = installed_python(make_runtime().version)
RUNTIME = Path(__file__).parents[2] / "runtime"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL of Debian is not installed."),
    pytest.mark.skipif(PYTHON is None, reason="No test installed an Airflow yet."),
]
CA_FILE = Path(DATABASE_CA).name
OURS = Authority("Ours")
OTHERS = Authority("Others")
ASK = """
import asyncio
from airflow import settings
from sqlalchemy import text

IS_TLS = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")

async def by_asyncpg():
    async with settings.AsyncSession() as session:
        return (await session.execute(IS_TLS)).scalar()

with settings.Session() as session:
    print("psycopg2", session.execute(IS_TLS).scalar())
print("asyncpg", asyncio.run(by_asyncpg()))
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with encrypted_server(OURS, "localhost") as port:
        yield port


class Pod:
    """The environment of pods of a Deployment whose database is on the server."""

    def __init__(self, folder: Path, *, host: str, port: int, ca: Authority, sslmode: str) -> None:
        server = DatabaseServer(
            host=host,
            port=port,
            user=USER,
            password=PASSWORD,
            sslmode=sslmode,
            ca_certificate=ca.certificate,
        )
        self.objects = manifests(render(spec=make_spec(), config=make_config(database=server)))
        self.folder = folder
        files = find(self.objects, "ConfigMap", "programs")["data"]
        (folder / "ca.pem").write_text(files.get(CA_FILE, ""))

    def prepare(self) -> str:
        """Run the job that makes role and database; return what it complained of."""
        command = ["psql", "--no-psqlrc", "--quiet"]
        command += [f"--file={RUNTIME / 'pods' / 'prepare_database.sql'}"]
        return self._run(command, self._secret("tidy-comet-admin"))

    def ask(self) -> str:
        """Connect as Airflow does, by both of its drivers; return whether it was encrypted."""
        core = find(self.objects, "ConfigMap", "environment-core")["data"]
        wanted = {name: core[name] for name in core if name.startswith("PORTAL_DATABASE_")}
        wanted |= {name: core[name] for name in core if name.startswith("AIRFLOW__DATABASE__")}
        environment = {
            **self._secret("airflow"),
            **{name: self._local(value) for name, value in wanted.items()},
            "AIRFLOW_HOME": str(self.folder),
            "PYTHONPATH": str(RUNTIME / "plugins"),
        }
        return self._run([str(PYTHON), "-c", ASK], environment)

    def _secret(self, name: str) -> dict[str, str]:
        data = find(self.objects, "Secret", name)["data"]
        return {key: self._local(b64decode(value).decode()) for key, value in data.items()}

    def _local(self, value: str) -> str:
        path = str(self.folder / "ca.pem")
        return value.replace(DATABASE_CA.replace("/", "%2F"), path).replace(DATABASE_CA, path)

    def _run(self, command: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return done.stdout


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
def test_both_drivers_of_airflow_are_encrypted_and_believe_the_ca(
    tmp_path: Path, port: int, sslmode: str
) -> None:
    pod = Pod(tmp_path, host="localhost", port=port, ca=OURS, sslmode=sslmode)

    assert pod.prepare() == ""
    said = pod.ask()

    assert "psycopg2 True" in said, said
    assert "asyncpg True" in said, said


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
def test_the_ca_of_someone_else_is_said_and_nothing_is_sent(
    tmp_path: Path, port: int, sslmode: str
) -> None:
    pod = Pod(tmp_path, host="localhost", port=port, ca=OTHERS, sslmode=sslmode)

    refused = pod.prepare()
    assert UNTRUSTED in explained(refused.splitlines())
    assert "SSL error: certificate verify failed" in pod.ask()


def test_another_name_than_that_of_the_certificate_is_said(tmp_path: Path, port: int) -> None:
    pod = Pod(tmp_path, host="127.0.0.1", port=port, ca=OURS, sslmode="verify-full")

    assert OTHER_NAME in explained(pod.prepare().splitlines())
    assert 'does not match host name "127.0.0.1"' in pod.ask()


def test_the_name_does_not_count_where_the_ca_alone_is_checked(tmp_path: Path, port: int) -> None:
    pod = Pod(tmp_path, host="127.0.0.1", port=port, ca=OURS, sslmode="verify-ca")

    assert pod.prepare() == ""
    assert "asyncpg True" in pod.ask()


def test_a_server_that_demands_encryption_refuses_what_is_not(tmp_path: Path, port: int) -> None:
    pod = Pod(tmp_path, host="localhost", port=port, ca=OURS, sslmode="disable")

    assert UNENCRYPTED in explained(pod.prepare().splitlines())
