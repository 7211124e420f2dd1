"""A restart that a person asks for."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.editing.restarting import restart
from apps.deployments.models import Deployment, Operation
from tests.deployments.conftest import drive
from tests.deployments.pages import text_of


@pytest.fixture
def browser(alice: User, client_of: Any) -> Client:
    found: Client = client_of(alice)
    return found


def test_a_restart_is_an_operation_that_reaches_every_component(
    browser: Client, running: Deployment, plane: type[FakePlane]
) -> None:
    page = browser.get(f"/d/{running.ref}/restart/")
    assert "Workers finish their tasks first." in text_of(page)
    before = plane.store.airflows[running.ref].wanted

    response = browser.post(f"/d/{running.ref}/restart/", follow=True)

    assert response.status_code == 200
    operation = Operation.objects.get(kind="restart")
    row = drive(running)
    operation.refresh_from_db()
    after = plane.store.airflows[running.ref].wanted
    assert (operation.state, row.wanted.state, row.wanted.number) == ("succeeded", "applied", 1)
    assert (before.restarts, after.restarts) == (0, 1)
    assert AuditEvent.objects.filter(action="deployment.restarted").count() == 1


def test_a_second_click_finds_the_same_operation(running: Deployment, alice: User) -> None:
    first = restart(actor=alice, deployment=running)
    second = restart(actor=alice, deployment=running)

    assert first == second
    running.refresh_from_db()
    assert running.restarts == 1


def test_it_waits_for_what_runs_and_for_what_failed(
    browser: Client, running: Deployment, alice: User
) -> None:
    assert running.wanted is not None
    type(running.wanted).objects.filter(pk=running.wanted.pk).update(state="failed")

    response = browser.post(f"/d/{running.ref}/restart/")

    assert response.status_code == 409
    assert "was not applied completely. Retry that first." in text_of(response)
    Operation.objects.filter(deployment=running).update(state="running")
    with pytest.raises(Conflict, match="Another operation is running"):
        restart(actor=alice, deployment=running)
    running.refresh_from_db()
    assert running.restarts == 0


def test_those_who_may_not_change_a_deployment_do_not_restart_it(
    running: Deployment, bob: User, client_of: Any
) -> None:
    client = client_of(bob)

    assert "Restart…" not in text_of(client.get(f"/d/{running.ref}/"))
    assert client.post(f"/d/{running.ref}/restart/").status_code == 403
