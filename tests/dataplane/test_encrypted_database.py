"""Airflow's connections by TLS to a real PostgreSQL server that the settings of a cluster name:
with what pods are given.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from apps.dataplane.kubernetes.apply.rollout import (
    OTHER_NAME,
    REFUSED_ROLE,
    UNENCRYPTED,
    UNKNOWN_HOST,
    UNTRUSTED,
    explained,
)
from tests.dataplane.database_pod import PYTHON, Pod
from tests.dataplane.postgres_servers import encrypted_server, programs
from tests.kubernetes.certificates import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL of Debian is not installed."),
    pytest.mark.skipif(PYTHON is None, reason="No test installed an Airflow yet."),
]
OURS = Authority("Ours")
OTHERS = Authority("Others")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with encrypted_server(OURS, "localhost") as port:
        yield port


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


def test_one_ca_of_several_is_enough_while_the_server_s_is_replaced(
    tmp_path: Path, port: int
) -> None:
    both = SimpleNamespace(certificate=OTHERS.certificate + OURS.certificate)
    pod = Pod(tmp_path, host="localhost", port=port, ca=both, sslmode="verify-full")

    assert pod.prepare() == ""
    assert "asyncpg True" in pod.ask()


def test_a_server_that_dns_does_not_know_and_a_wrong_password_are_said(
    tmp_path: Path, port: int
) -> None:
    unknown = Pod(tmp_path, host="none.invalid", port=port, ca=OURS, sslmode="require")
    refused = Pod(tmp_path, host="localhost", port=port, ca=OURS, sslmode="require", password="x")

    assert UNKNOWN_HOST in explained(unknown.prepare().splitlines())
    assert REFUSED_ROLE in explained(refused.prepare().splitlines())


def test_a_server_that_demands_encryption_refuses_what_is_not(tmp_path: Path, port: int) -> None:
    pod = Pod(tmp_path, host="localhost", port=port, ca=OURS, sslmode="disable")

    assert UNENCRYPTED in explained(pod.prepare().splitlines())
