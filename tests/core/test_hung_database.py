"""A database server that hangs, and still confirms what it gets: no request waits for ever."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection
from django.test import Client

from apps.accounts.models import User
from apps.core.database.patience import WEB_SECONDS, PatientConnection, answers_within
from apps.portal.views import health

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def hanging() -> Iterator[None]:
    """Stop the server's process behind this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        is_given_up = connection.connection.closed
        connection.close()
    assert is_given_up


def test_a_statement_is_given_up_with_its_connection_and_the_next_one_works() -> None:
    with (
        hanging(),
        answers_within(0.3),
        pytest.raises(OperationalError, match="did not answer in time"),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")

    with connection.cursor() as cursor:
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)


def test_a_page_says_so_and_keeps_no_thread(
    alice: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(alice)
    client.raise_request_exception = False
    monkeypatch.setattr(PatientConnection, "patience_seconds", 0.3)
    began = time.monotonic()

    with hanging():
        response = client.get("/account/")

    assert response.status_code == 503
    assert "does not reach its database" in response.content.decode()
    assert response["Retry-After"]
    assert time.monotonic() - began < 5


def test_a_probe_of_health_ends_sooner_than_the_probe(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert health.SECONDS < 5
    assert health.SECONDS < WEB_SECONDS
    monkeypatch.setattr(health, "SECONDS", 0.3)

    with hanging():
        response = client.get("/healthz")

    assert response.status_code == 503
    assert response.json() == {"database": "does not answer"}


def test_other_processes_wait_for_long_statements() -> None:
    assert PatientConnection.patience_seconds is None
