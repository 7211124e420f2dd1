"""Which cluster the gateway asks for a Deployment, and the process around it."""

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from apps.accounts.models import User
from apps.airflow_access import gateway
from apps.clusters.connections import sealed
from apps.clusters.models import Cluster
from apps.dataplane.edge.roles import NoAnswer, Question
from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.embedded_databases import gateway_socket
from apps.deployments.models import Deployment
from apps.organizations.models import Organization

QUESTION = Question("a-b", "bob@example.org", "")
SERVER = "https://k8s.example.org:6443"


@pytest.fixture
def remote(organization: Organization) -> Cluster:
    cluster = Cluster(
        organization=organization,
        kind=Cluster.Kind.KUBERNETES,
        name="eu-1",
        server=SERVER,
        credential_kind=Cluster.CredentialKind.TOKEN,
    )
    sealed.seal_credential(cluster, Connection(server=SERVER, ca_certificate="", token="t"))
    cluster.save(force_insert=True)
    return cluster


@pytest.fixture
def moved(deployment: Deployment, remote: Cluster) -> Deployment:
    Deployment.objects.filter(pk=deployment.pk).update(cluster=remote)
    return deployment


def test_it_finds_the_cluster_of_a_deployment(moved: Deployment) -> None:
    connection = gateway.connection_of(moved.ref)

    assert connection is not None
    assert (connection.server, connection.token) == (SERVER, "t")
    assert connection.networks is not None, "addresses are checked"


def test_what_is_on_this_machine_or_nowhere_is_not_found(deployment: Deployment) -> None:
    assert gateway.connection_of(deployment.ref) is None
    assert gateway.connection_of("never-was") is None


@pytest.mark.parametrize(("phase", "is_there"), [("deleting", True), ("deleted", False)])
def test_a_deleted_deployment_has_no_door(moved: Deployment, phase: str, is_there: bool) -> None:
    Deployment.objects.filter(pk=moved.pk).update(phase=phase)

    assert (gateway.connection_of(moved.ref) is not None) is is_there


def test_a_removed_cluster_has_no_door(moved: Deployment, remote: Cluster) -> None:
    Cluster.objects.filter(pk=remote.pk).update(removed_at=remote.created_at)

    assert gateway.connection_of(moved.ref) is None


def test_a_credential_that_cannot_be_opened_is_a_sentence(
    moved: Deployment, remote: Cluster
) -> None:
    Cluster.objects.filter(pk=remote.pk).update(credential=b"damaged")

    with pytest.raises(Permanent, match="cannot be read"):
        gateway.connection_of(moved.ref)


def test_it_knows_what_hibernates(moved: Deployment) -> None:
    assert not gateway.hibernates(moved.ref)
    assert not gateway.hibernates("never-was")

    Deployment.objects.filter(pk=moved.pk).update(is_hibernating=True)

    assert gateway.hibernates(moved.ref)
    Deployment.objects.filter(pk=moved.pk).update(phase="deleting")
    assert not gateway.hibernates(moved.ref)


class Database:
    """Stands where the threads ask, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = Connection(server=SERVER, ca_certificate="")

    def __call__(self, ref: str) -> Connection | None:
        self.asked += 1
        time.sleep(0.05)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database()
    monkeypatch.setattr(gateway, "connection_of", database)
    return database


def found(*refs: str, finder: gateway.Finder | None = None) -> list[Any]:
    async def run() -> list[Any]:
        find = finder or gateway.Finder()
        return await asyncio.gather(*(find(ref) for ref in refs), return_exceptions=True)

    return asyncio.run(run())


def test_many_pages_at_once_ask_the_database_once(database: Database) -> None:
    finder = gateway.Finder()

    answers = found("a-b", "a-b", "a-b", "a-b", finder=finder)
    again = found("a-b", finder=finder)

    assert answers == [database.answer] * 4
    assert again == [database.answer]
    assert database.asked == 1


def test_another_cluster_is_seen_after_some_seconds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = gateway.Finder()
    found("a-b", finder=finder)
    database.answer = Connection(server="https://other.example.org", ca_certificate="")

    assert found("a-b", finder=finder) != [database.answer]

    monkeypatch.setattr(gateway, "FRESH_SECONDS", 0.0)
    assert found("a-b", finder=finder) == [database.answer]


def test_what_was_found_before_stays_open_while_the_database_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "FRESH_SECONDS", 0.0)
    finder = gateway.Finder()
    [known] = found("a-b", finder=finder)
    database.answer = OperationalError("gone: password=secret")

    assert found("a-b", finder=finder) == [known]

    [error] = found("new-one", finder=finder)
    assert isinstance(error, Unreachable)
    assert error.message == "The portal's database does not answer. Try again in a moment."

    monkeypatch.setattr(gateway, "STALE_SECONDS", 0.0)
    [error] = found("a-b", finder=finder)
    assert isinstance(error, DataPlaneError)


def test_a_database_that_hangs_is_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "LOOKUP_SECONDS", 0.01)

    [error] = found("a-b")

    assert isinstance(error, Unreachable)


def test_names_that_strangers_make_up_fill_no_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "MOST_REMEMBERED", 3)
    database.answer = None
    finder = gateway.Finder()

    assert found(*(f"made-{number}" for number in range(10)), finder=finder) == [None] * 10

    assert len(finder._found) == 3


def answered(question: Question) -> str:
    async def run() -> str:
        return await gateway.RoleQuestions()(question)

    return asyncio.run(run())


@pytest.mark.django_db(transaction=True)
def test_it_finds_which_role_somebody_has(deployment: Deployment, bob: User) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        question = Question(deployment.ref, bob.email, "")

        assert pool.submit(gateway._role_of, question).result() == "viewer"

        pool.submit(lambda: connection.close()).result()


def test_roles_are_asked_for_in_threads_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(question: Question) -> str:
        return threading.current_thread().name

    monkeypatch.setattr(gateway, "_role_of", name)

    assert answered(QUESTION).startswith("role")


def test_a_database_that_is_away_is_no_answer_about_roles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(question: Question) -> str:
        raise OperationalError("gone: password=secret")

    monkeypatch.setattr(gateway, "_role_of", fail)

    with pytest.raises(NoAnswer) as caught:
        answered(QUESTION)

    assert "secret" not in str(caught.value)


def test_it_listens_behind_the_edge_until_it_is_stopped(tmp_path: Path, settings: Any) -> None:
    settings.PORTAL_HOME = Home(tmp_path)
    (tmp_path / "run").mkdir()
    stop = threading.Event()
    thread = threading.Thread(target=gateway.serve, kwargs={"stop": stop})
    socket = gateway_socket(settings.PORTAL_HOME)

    async def ask() -> str:
        async with ClientSession(connector=UnixConnector(path=str(socket))) as session:
            return await (await session.get("http://gateway/healthz")).text()

    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not socket.is_socket():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert asyncio.run(ask()) == "ok\n"
    finally:
        stop.set()
        thread.join(10)

    assert not thread.is_alive()
    assert not socket.exists()


@pytest.mark.parametrize("address", ["8081", "here:", "a b:1", "[::1:1", "0.0.0.0:port", ":70000"])
def test_the_command_refuses_an_address_that_is_none(address: str) -> None:
    with pytest.raises(CommandError, match=re.escape("must be like 0.0.0.0:8081")):
        call_command("gateway", "--listen", address)
