"""Airflow's own API for programs: with tokens of the portal, in the role of the caller."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.dataplane.airflow_token import AirflowUser
from apps.dataplane.errors import Unreachable
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment, Health
from apps.organizations.models import PersonalToken
from tests.conftest import put_role, role
from tests.dags.conftest import new_sign_in_key, open_secrets


@pytest.fixture
def asked(deployment, plane, settings) -> list[tuple[str, str, Any]]:
    """What reaches the Airflow of the Deployment, which answers everything with an object."""
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    open_secrets(deployment)
    seen: list[tuple[str, str, Any]] = []

    def respond(method: str, path: str, body: Any) -> AirflowResponse:
        seen.append((method, path, body))
        return AirflowResponse(status=200, data={"pools": [], "total_entries": 0})

    plane.store.respond = respond
    return seen


def call(program, method: str, path: str, body: Any = None, **headers: str) -> Any:
    text = "" if body is None else json.dumps(body)
    return program.client.generic(method, path, text, "application/json", headers=headers)


def root(deployment: Deployment) -> str:
    return f"/airflow/{deployment.ref}/api/v2"


def test_a_call_reaches_airflow_as_the_caller_in_the_role_of_its_grants(
    alice, bob, workspace, deployment, asked, plane, program_of, token_program
):
    body = {"name": "big", "slots": 4}

    answers = [
        call(program_of(alice), "POST", f"{root(deployment)}/pools", body),
        call(program_of(bob), "GET", f"{root(deployment)}/dags?limit=3&dag_ids=a&dag_ids=b%2Fc"),
        call(token_program(workspace, "author"), "DELETE", f"{root(deployment)}/pools/big"),
    ]

    assert [one.status_code for one in answers] == [200, 200, 200]
    assert answers[0].json() == {"pools": [], "total_entries": 0}
    assert asked == [
        ("POST", "/api/v2/pools", body),
        ("GET", "/api/v2/dags?limit=3&dag_ids=a&dag_ids=b%2Fc", None),
        ("DELETE", "/api/v2/pools/big", None),
    ]
    assert plane.store.airflow_users == [
        AirflowUser("alice@example.org", "admin"),
        AirflowUser("bob@example.org", "viewer"),
        AirflowUser("token CI", "user"),
    ]


def test_a_token_does_no_more_at_airflow_than_its_limit_and_its_organization_allow(
    alice, bob, charlie, organization, deployment, asked, plane, program_of
):
    """Of an owner, with a limit; of the same owner for another organization; and one that ended."""
    elsewhere = charlie.organizationgrant_set.get().content_object
    put_role(alice, role("organization", "owner"), elsewhere)
    limited = program_of(alice, name="limited", limit="read")
    of_another = program_of(alice, at=elsewhere, name="of another")
    ended = program_of(bob, name="ended")
    PersonalToken.objects.filter(user=bob).update(expires_at=timezone.now())

    answers = [
        call(program, "POST", f"{root(deployment)}/pools", {"name": "x"}).status_code
        for program in (limited, of_another, ended)
    ]

    assert answers == [200, 404, 401]
    assert plane.store.airflow_users == [AirflowUser("alice@example.org", "viewer")]


def test_changes_are_in_the_audit_log_without_what_was_sent(alice, deployment, asked, program_of):
    program = program_of(alice)
    call(program, "GET", f"{root(deployment)}/connections")
    body = {"connection_id": "db", "password": "hunter2-secret"}

    call(program, "POST", f"{root(deployment)}/connections?x=hunter2-secret", body)

    (event,) = AuditEvent.objects.filter(action="airflow.changed")
    assert event.changes == {"POST /api/v2/connections": [None, "HTTP 200"]}
    assert (event.actor, event.target_label) == (alice, deployment.name)


@pytest.mark.parametrize(
    "path",
    [
        "/auth/login",
        "/../auth/portal/counts",
        "/%2e%2e/auth/portal/counts",
        "/dags/%2e%2e/%2e%2e/%2e%2e/auth/portal/dags",
        "/dags/%252e%252e/x",
        "//evil.example/x",
        "/dags/a%5c..%5cb",
        "/dags/a%0ab",
        "/dags/" + "a" * 1_600,
    ],
)
def test_nothing_beside_the_api_is_asked(alice, deployment, asked, program_of, path):
    answer = call(program_of(alice), "GET", root(deployment) + path)

    assert answer.status_code == 404
    assert asked == []


def test_ids_of_runs_come_through_whole(alice, deployment, asked, program_of):
    call(
        program_of(alice), "GET", f"{root(deployment)}/dags/a/dagRuns/manual__2026-01-01T00%3A00+00"
    )

    assert asked[0][1] == "/api/v2/dags/a/dagRuns/manual__2026-01-01T00:00+00"


def test_a_session_is_no_token_and_a_token_needs_no_csrf_token(
    alice, charlie, deployment, asked, client_of, program_of
):
    by_cookie = client_of(alice).get(f"{root(deployment)}/dags")
    none = Client().post(f"{root(deployment)}/pools", {}, content_type="application/json")
    elsewhere = charlie.organizationgrant_set.get().content_object
    outsider = call(program_of(charlie, at=elsewhere), "GET", f"{root(deployment)}/dags")
    unknown = call(program_of(alice, name="other"), "GET", "/airflow/no-such-0001/api/v2/dags")

    assert [one.status_code for one in (by_cookie, none, outsider, unknown)] == [401, 401, 404, 404]
    assert asked == []
    assert by_cookie["WWW-Authenticate"].startswith("Bearer")
    assert outsider.json() == unknown.json() | {"requestId": outsider.json()["requestId"]}


@pytest.mark.parametrize("body", ["[1]", "{", '"text"', "[" * 100_000])
def test_a_body_that_is_no_object_is_refused(alice, deployment, asked, program_of, body):
    answer = program_of(alice).client.generic(
        "POST", f"{root(deployment)}/pools", body, "application/json"
    )

    assert answer.status_code == 400
    assert asked == []


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        (AirflowResponse(status=404, data={"detail": "no such pool"}), 404, "no such pool"),
        (AirflowResponse(status=409, data={"detail": "there is one"}), 409, "there is one"),
        (AirflowResponse(status=403, data={"detail": "Forbidden"}), 403, "Forbidden"),
        (AirflowResponse(status=422, data=None), 422, "gave no reason"),
        (AirflowResponse(status=401, data={"detail": "x"}), 503, "does not accept"),
        (AirflowResponse(status=500, data={"detail": "x"}), 503, "HTTP 500"),
        (AirflowResponse(status=302, data=None), 503, "HTTP 302"),
    ],
)
def test_what_airflow_refuses_is_passed_on_and_what_it_breaks_is_said(
    alice, deployment, asked, plane, program_of, given, status, words
):
    plane.store.respond = lambda *_: given

    answer = call(program_of(alice), "GET", f"{root(deployment)}/pools/x")

    assert answer.status_code == status
    assert words in answer.content.decode()
    assert "json" in answer["Content-Type"]


def test_a_deletion_answers_with_nothing(alice, deployment, asked, plane, program_of):
    plane.store.respond = lambda *_: AirflowResponse(status=204, data=None)

    answer = call(program_of(alice), "DELETE", f"{root(deployment)}/pools/x")

    assert (answer.status_code, answer.content) == (204, b"")


def test_an_airflow_that_is_away_is_one_sentence(alice, deployment, asked, plane, program_of):
    program = program_of(alice)
    plane.store.fail("airflow", Unreachable("The API server of this Deployment does not answer."))

    silent = call(program, "GET", f"{root(deployment)}/dags")
    Deployment.objects.update(health=Health.STOPPED)
    stopped = call(program, "GET", f"{root(deployment)}/dags")

    assert [one.status_code for one in (silent, stopped)] == [503, 503]
    assert silent.json()["message"] == "The API server of this Deployment does not answer."
    assert stopped.json()["message"] == "Airflow is stopped."


def test_the_api_of_a_deployment_says_where_it_is(alice, deployment, program_of, settings):
    settings.PORTAL_URL = "https://portal.example.com"

    (found,) = program_of(alice).get("/deployments").json()["deployments"]

    # The CLI puts https:// before it.
    assert found["webServerAirflowApiUrl"] == f"portal.example.com{root(deployment)}"
    assert found["apiUrl"] == f"https://portal.example.com{root(deployment)}"
