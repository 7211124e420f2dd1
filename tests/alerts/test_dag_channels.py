"""Channels that trigger a DAG."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries import dag_runs, sending
from apps.alerts.deliveries.sending import SendFailed
from apps.audit.models import AuditEvent
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from tests.alerts.examples import NOW, make_channel
from tests.alerts.test_payloads import MESSAGE
from tests.core.pages import check_page
from tests.dags.conftest import new_sign_in_key, open_secrets
from tests.dags.stand_in import Airflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def airflow(deployment: Deployment, plane: type[FakePlane], settings: Any) -> Airflow:
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    open_secrets(deployment)
    stand_in = Airflow()
    stand_in.add("page_oncall")
    plane.store.respond = stand_in.respond
    return stand_in


@pytest.fixture
def channel(workspace: Workspace, deployment: Deployment, alice: User) -> Channel:
    return make_channel(workspace, alice, "dag", deployment=deployment)


def send(channel: Channel) -> str:
    return sending.send(channel=channel, message=MESSAGE, delivery="msg_7", now=NOW).answer


def test_a_message_is_the_configuration_of_a_run_with_its_own_name(
    channel: Channel, airflow: Airflow, alice: User
):
    assert send(channel) == "Run alert__msg_7 of page_oncall."

    (_, path, body) = airflow.said[-1]
    assert path.endswith("/page_oncall/dagRuns")
    assert body["dag_run_id"] == "alert__msg_7"
    assert body["conf"] == {"alert": MESSAGE.as_json()}
    event = AuditEvent.objects.get(action="dag.triggered")
    assert event.actor == alice


@pytest.mark.parametrize(
    "said",
    [
        {"detail": "DagRun with Run ID: `alert__msg_7` already exists"},
        {"detail": {"reason": "Unique constraint violation"}},
    ],
)
def test_a_second_attempt_makes_no_second_run(
    channel: Channel, airflow: Airflow, said: dict[str, Any]
):
    airflow.answer = AirflowResponse(status=409, data=said)

    assert send(channel).startswith("Run alert__msg_7")


@pytest.mark.parametrize(
    ("answer", "is_final"),
    [
        (AirflowResponse(status=400, data={"detail": "paused"}), True),
        (AirflowResponse(status=404, data={}), True),
        (AirflowResponse(status=503, data=None), False),
    ],
)
def test_what_airflow_answers_decides_whether_it_is_tried_again(
    channel: Channel, airflow: Airflow, answer: AirflowResponse, is_final: bool
):
    airflow.answer = answer

    with pytest.raises(SendFailed) as error:
        send(channel)

    assert error.value.is_final == is_final


def test_it_runs_with_the_rights_that_its_person_has_now(
    channel: Channel, airflow: Airflow, deployment: Deployment, alice: User, bob: User
):
    channel.config["by"] = bob.pk
    channel.save()

    with pytest.raises(SendFailed) as error:
        send(channel)

    assert error.value.message == dag_runs.NO_RIGHT
    assert not airflow.said
    channel.config["by"] = alice.pk
    channel.save()
    other = Workspace.objects.create(
        organization=deployment.workspace.organization, name="Reports", slug="reports"
    )
    Deployment.objects.update(workspace=other)
    with pytest.raises(SendFailed) as error:
        send(channel)
    assert error.value.message == dag_runs.GONE


def test_the_form_offers_deployments_in_which_the_person_may_run_dags(
    deployment: Deployment,
    organization: Organization,
    alice: User,
    charlie: User,
    client_of: Callable[[User], Client],
):
    client = client_of(alice)
    page = "/w/warehouse/alerts/channels/new/dag/"
    text = client.get(page).content.decode()
    check_page(text)
    assert "etl-prod (Warehouse)" in text

    told = {"name": "Pager", "deployment": deployment.pk, "dag": "page_oncall"}
    for wrong in ({"dag": "a/../b"}, {"deployment": 0}, {"deployment": ""}):
        assert client.post(page, {**told, **wrong}).status_code == 422
    assert client.post(page, told).status_code == 302

    made = Channel.objects.get()
    assert made.config["by"] == alice.pk
    assert made.destination == "page_oncall in etl-prod"
    saved = client.get(f"/w/warehouse/alerts/channels/{made.pk}/").content.decode()
    check_page(saved)
    assert "page_oncall" in saved
