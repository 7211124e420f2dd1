"""Somebody holds a row for long, as psql does with a transaction that was forgotten."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.editing.services import update_config
from apps.deployments.models import Deployment, Operation
from apps.deployments.reconciling.reconciler import reconcile
from tests.deployments.conftest import drive
from tests.deployments.test_reconciler import WIDER

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def somebody_holds(deployment: Deployment) -> Iterator[None]:
    is_held, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Deployment.objects.select_for_update().get(pk=deployment.pk)
            is_held.set()
            is_over.wait(60)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(30)
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.fixture
def impatient() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("10s",)
        cursor.execute("SET lock_timeout = '300ms'")
    yield
    connection.close()


@pytest.mark.usefixtures("impatient")
def test_a_row_that_is_held_for_long_is_answered_with_try_again_later(
    running: Deployment, alice: User, client_of: Callable[[User], Client]
) -> None:
    browser = client_of(alice)
    browser.raise_request_exception = False
    Operation.objects.update(state="failed")
    running.wanted.__class__.objects.update(state="failed")
    events = AuditEvent.objects.count()

    with somebody_holds(running):
        response = browser.post(f"/d/{running.ref}/try-again/")

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert AuditEvent.objects.count() == events
    assert browser.post(f"/d/{running.ref}/try-again/").status_code == 302
    assert AuditEvent.objects.filter(action="deployment.retried").count() == 1


@pytest.mark.usefixtures("impatient")
def test_a_pass_over_a_row_that_is_held_comes_again(running: Deployment, alice: User) -> None:
    update_config(actor=alice, deployment=running, configuration=WIDER, base_revision_number=1)

    with somebody_holds(running), pytest.raises(OperationalError, match="lock timeout"):
        reconcile(deployment_id=running.pk)

    row = drive(running)
    assert row.applied is not None
    assert row.applied.number == 2
