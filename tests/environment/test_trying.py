"""Trying a connection in the Airflow that it reaches."""

import pytest
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid
from apps.dataplane.errors import Unreachable
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment
from apps.environment.delivery import trying
from tests.backups.examples import with_secrets
from tests.dags.conftest import new_sign_in_key
from tests.environment.examples import POSTGRES, make_object

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(deployment, settings, alice, workspace):
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    found = with_secrets(deployment)
    make_object(workspace, alice, value=POSTGRES | {"password": "hunter2", "extra": {"a": "k3y!"}})
    version = Deployment.objects.get(pk=found.pk).environment_version
    Deployment.objects.filter(pk=found.pk).update(
        applied=found.wanted, environment_delivered=version
    )
    return Deployment.objects.get(pk=found.pk)


def answering(plane, is_good, message="", reason="", status=200):
    said = {"is_good": is_good, "message": message, "reason": reason}
    plane.store.responses["POST", trying.PATH] = AirflowResponse(status=status, data=said)


def test_alice_tries_a_connection_where_it_is_used(running, alice, bob, charlie, client_of, plane):
    answering(plane, False, 'password "hunter2" refused\x1b[31m, key k3y!')
    url = reverse("environment:test", args=[running.ref])
    page = client_of(alice).get(reverse("environment:deployment", args=[running.ref]))

    shown = client_of(alice).post(url, {"name": "warehouse"}, follow=True).content.decode()

    assert url in page.content.decode()
    assert "warehouse does not work." in shown
    assert "hunter2" not in shown
    assert "k3y!" not in shown
    event = AuditEvent.objects.get(action="environment_object.tested")
    assert event.changes == {"name": [None, "warehouse"], "result": [None, "does not work"]}
    assert client_of(bob).post(url, {"name": "warehouse"}).status_code == 403
    assert client_of(charlie).post(url, {"name": "warehouse"}).status_code == 404


@pytest.mark.parametrize(
    ("said", "is_good", "message"),
    [
        ((True, "Connection successfully tested"), True, "Connection successfully tested"),
        ((None, "", "busy"), None, "Other tests are still waiting for their answers"),
        ((False, "", "late"), False, "no answer within 8 seconds"),
        ((False, "KeyError", "failed"), False, "could not try it. KeyError"),
    ],
)
def test_what_the_hook_says_is_told(running, alice, plane, said, is_good, message):
    answering(plane, *said)

    result = trying.try_connection(actor=alice, deployment=running, name="warehouse")

    assert result.is_good is is_good
    assert message in result.message


def test_what_cannot_be_tried_is_said(running, alice, plane, monkeypatch):
    def tries(name="warehouse"):
        trying.try_connection(actor=alice, deployment=running, name=name)

    with pytest.raises(Invalid, match="No connection “other” reaches"):
        tries("other")
    with pytest.raises(Conflict, match="Restart the Deployment"):
        tries()
    answering(plane, "yes")
    with pytest.raises(Conflict, match="cannot read"):
        tries()
    plane.store.fail("airflow", Unreachable("It does not answer."))
    with pytest.raises(Conflict, match="It does not answer"):
        tries()
    running.is_hibernating = True
    with pytest.raises(Conflict, match="Wake it up"):
        tries()
    running.is_hibernating = False
    monkeypatch.setattr(trying, "is_delivered", lambda _: False)
    with pytest.raises(Conflict, match="on its way"):
        tries()
    assert not AuditEvent.objects.filter(action="environment_object.tested").exists()
