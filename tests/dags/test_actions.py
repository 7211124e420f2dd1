from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.dags.models import DagSummary
from apps.dags.summaries import refresh_summaries
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment
from tests.core.pages import check_page
from tests.dags.stand_in import RUN_ID, Airflow

ClientOf = Callable[[User], Client]
DAG = "/d/etl-prod-7f3c/dags/orders_daily/"
RUN = f"{DAG}runs/{quote(RUN_ID)}/"
TASK = f"{RUN}tasks/load/"
API = "/api/v2/dags/orders_daily"
API_RUN = f"{API}/dagRuns/{quote(RUN_ID, safe='')}"
ACTS: list[tuple[str, dict[str, str], str, str, dict[str, Any], str]] = [
    (f"{DAG}pause/", {"is_paused": "yes"}, "PATCH", API, {"is_paused": True}, "dag.paused"),
    (f"{DAG}pause/", {"is_paused": "no"}, "PATCH", API, {"is_paused": False}, "dag.unpaused"),
    (
        f"{DAG}trigger/",
        {"conf": '{"day": 1}', "note": "again"},
        "POST",
        f"{API}/dagRuns",
        {"logical_date": None, "conf": {"day": 1}, "note": "again"},
        "dag.triggered",
    ),
    (
        f"{RUN}act/clear/",
        {"tasks": "failed"},
        "POST",
        f"{API_RUN}/clear",
        {"dry_run": False, "only_failed": True},
        "dag.run_cleared",
    ),
    (
        f"{RUN}act/mark-success/",
        {"confirmed": "yes"},
        "PATCH",
        API_RUN,
        {"state": "success"},
        "dag.run_marked",
    ),
    (
        f"{RUN}act/mark-failed/",
        {"confirmed": "yes"},
        "PATCH",
        API_RUN,
        {"state": "failed"},
        "dag.run_marked",
    ),
    (
        f"{TASK}act/clear/?map=3",
        {"with_downstream": "on"},
        "POST",
        f"{API}/clearTaskInstances",
        {
            "dry_run": False,
            "dag_run_id": RUN_ID,
            "task_ids": [["load", 3]],
            "only_failed": False,
            "reset_dag_runs": True,
            "include_downstream": True,
        },
        "dag.task_cleared",
    ),
    (
        f"{TASK}act/mark-failed/",
        {"confirmed": "yes"},
        "PATCH",
        f"{API_RUN}/taskInstances/load",
        {"new_state": "failed"},
        "dag.task_marked",
    ),
]


@pytest.mark.parametrize(("url", "body", "method", "path", "sent", "action"), ACTS)
def test_an_author_acts_and_the_audit_log_has_the_name(
    author: User,
    airflow: Airflow,
    client_of: ClientOf,
    url: str,
    body: dict[str, str],
    method: str,
    path: str,
    sent: dict[str, Any],
    action: str,
) -> None:
    response = client_of(author).post(url, body)

    assert response.status_code == 302
    assert airflow.said == [(method, path, sent)]
    event = AuditEvent.objects.get(action=action)
    assert event.actor == author
    assert event.changes["DAG"] == [None, "orders_daily"]


@pytest.mark.parametrize("url", [url for url, *_ in ACTS if "/pause/" not in url])
def test_an_action_is_confirmed_on_a_page(
    author: User, airflow: Airflow, client_of: ClientOf, url: str
) -> None:
    response = client_of(author).get(url)

    assert response.status_code == 200
    check_page(response.content.decode())
    assert airflow.said == []


@pytest.mark.parametrize(("url", "body"), [(url, body) for url, body, *_ in ACTS])
def test_whoever_may_not_act_inside_airflow_may_not_here(
    bob: User, charlie: User, airflow: Airflow, client_of: ClientOf, url: str, body: dict[str, str]
) -> None:
    assert client_of(bob).post(url, body).status_code == 403
    assert client_of(charlie).post(url, body).status_code == 404
    assert airflow.said == []


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ("{", "This is not JSON."),
        ("[1]", "The configuration of a run is a JSON object: { … }."),
        ("3", "The configuration of a run is a JSON object: { … }."),
        ("[" * 40_000, "This is nested too deeply, or a number is too long."),
        (f'{{"x": {"9" * 5_000}}}', "This is nested too deeply, or a number is too long."),
        ("x" * 60_000, "50000"),
    ],
)
def test_a_configuration_that_is_no_object_is_refused_at_its_field(
    author: User, airflow: Airflow, client_of: ClientOf, conf: str, sentence: str
) -> None:
    response = client_of(author).post(f"{DAG}trigger/", {"conf": conf})

    assert response.status_code == 422
    assert sentence in " ".join(response.context["form"].errors["conf"])
    assert airflow.said == []


def test_a_trigger_without_a_note_says_who_it_was(
    author: User, airflow: Airflow, client_of: ClientOf
) -> None:
    response = client_of(author).post(f"{DAG}trigger/", {})

    assert response["Location"] == unquote(RUN)
    [(_, _, body)] = airflow.said
    assert body["note"] == "Triggered by Amy in Astro Portal"
    assert AuditEvent.objects.get(action="dag.triggered").changes["configuration"] == [None, "none"]


def test_what_airflow_refuses_is_said_and_not_recorded(
    author: User, airflow: Airflow, client_of: ClientOf
) -> None:
    airflow.refuses = "Dag with dag_id: 'orders_daily' has import errors and cannot be triggered"

    response = client_of(author).post(f"{DAG}trigger/", {})

    assert response.status_code == 422
    page = response.content.decode()
    check_page(page)
    assert "Airflow refused: Dag with dag_id" in page
    assert not AuditEvent.objects.filter(action="dag.triggered").exists()


def test_an_action_without_an_answer_is_recorded_as_such(
    author: User, airflow: Airflow, plane: type[FakePlane], client_of: ClientOf
) -> None:
    plane.store.fail("airflow", Unreachable("The API server of this Deployment does not answer."))

    response = client_of(author).post(f"{RUN}act/clear/", {"tasks": "all"})

    assert response.status_code == 422
    assert "look before you repeat it" in response.content.decode()
    event = AuditEvent.objects.get(action="dag.run_cleared")
    assert event.changes["answer of Airflow"] == [None, "none"]


def test_an_action_that_never_left_is_not_recorded(
    author: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    Deployment.objects.update(health="stopped")

    response = client_of(author).post(f"{DAG}trigger/", {})

    assert "Airflow is stopped." in response.content.decode()
    assert not AuditEvent.objects.filter(action="dag.triggered").exists()


def test_a_switch_shows_in_the_list_at_once(
    author: User, deployment: Deployment, airflow: Airflow, client_of: ClientOf
) -> None:
    refresh_summaries(deployment=deployment)
    url = "/w/warehouse/dags/?q=orders"

    response = client_of(author).post(f"{DAG}pause/", {"is_paused": "yes", "next": url})

    assert response["Location"] == url
    assert DagSummary.objects.get().state == "paused"
    refresh_summaries(deployment=deployment)
    assert DagSummary.objects.get().state == "succeeded", "the next look says what is true"


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test", "javascript:alert(1)", ""])
def test_a_switch_leads_to_no_other_site(
    author: User, airflow: Airflow, client_of: ClientOf, target: str
) -> None:
    response = client_of(author).post(f"{DAG}pause/", {"is_paused": "yes", "next": target})

    assert response["Location"] == DAG


def test_an_unknown_action_is_not_found(
    author: User, airflow: Airflow, client_of: ClientOf
) -> None:
    for url in (f"{RUN}act/delete/", f"{TASK}act/delete/"):
        assert client_of(author).post(url, {}).status_code == 404
    assert airflow.said == []
