"""Which role somebody has in an Airflow at this moment, and who may ask."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.access.grants.services import grant, revoke
from apps.accounts.models import User
from apps.accounts.services import change_address, deactivate_person
from apps.accounts.sessions.services import end_sessions
from apps.airflow_access.roles import role_at_present
from apps.deployments.models import Deployment
from apps.organizations.models import WorkspaceGrant
from apps.organizations.teams.services import (
    add_to_team,
    assign_team_role,
    create_team,
    delete_team,
)
from tests.conftest import PASSWORD, role
from tests.observability.test_airflow_door import claims, make_key

ClientOf = Callable[[User], Client]
ADDRESS = "/airflow-role/"
SECRET = "s" * 43


def now_of(user: User, deployment: Deployment, session_id: str = "") -> str:
    return role_at_present(ref=deployment.ref, email=user.email, session_id=session_id)


def test_it_is_the_role_that_a_ticket_would_name(
    alice: User, bob: User, charlie: User, deployment: Deployment
) -> None:
    assert now_of(alice, deployment) == "admin"
    assert now_of(bob, deployment) == "viewer"
    assert now_of(charlie, deployment) == ""


def test_a_role_changed_or_taken_away_is_another_one_at_once(
    bob: User, deployment: Deployment
) -> None:
    grant(actor=None, user=bob, role=role("workspace", "operator"), on=deployment.workspace)
    assert now_of(bob, deployment) == "op"

    revoke(actor=None, user=bob, on=deployment.workspace)
    assert now_of(bob, deployment) == ""


def test_a_role_that_ended_by_itself_is_none(bob: User, deployment: Deployment) -> None:
    past = timezone.now() - timedelta(seconds=1)
    WorkspaceGrant.objects.filter(user=bob).update(expires_at=past)

    assert now_of(bob, deployment) == ""


def test_a_team_that_is_removed_takes_its_role_along(
    alice: User, bob: User, deployment: Deployment
) -> None:
    team = create_team(
        actor=alice, organization=deployment.workspace.organization, name="Loaders", description=""
    )
    add_to_team(actor=alice, team=team, user=bob)
    assign_team_role(
        actor=alice, team=team, role=role("workspace", "owner"), on=deployment.workspace
    )
    assert now_of(bob, deployment) == "admin"

    delete_team(actor=alice, team=team)
    assert now_of(bob, deployment) == "viewer"


def test_a_closed_account_has_no_role(bob: User, deployment: Deployment) -> None:
    deactivate_person(user=bob)

    assert now_of(bob, deployment) == ""


def test_an_address_that_a_person_gave_up_has_no_role(bob: User, deployment: Deployment) -> None:
    change_address(user=bob, email="robert@example.org")

    assert role_at_present(ref=deployment.ref, email="bob@example.org", session_id="") == ""
    assert now_of(bob, deployment) == "viewer"


def test_a_deployment_that_is_gone_knows_nobody(alice: User, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(phase="deleted")

    assert now_of(alice, deployment) == ""
    assert role_at_present(ref="never-was", email=alice.email, session_id="") == ""


@pytest.fixture
def signed_in(bob: User) -> Client:
    """Bob's browser, signed in as people do it."""
    client = Client()
    client.post("/accounts/login/", {"login": bob.email, "password": PASSWORD})
    client.get("/")
    return client


def session_of(client: Client, deployment: Deployment, settings: Any) -> str:
    key = make_key(settings)
    return str(claims(client.post(f"/d/{deployment.ref}/airflow/"), key)["portal_session"])


def test_airflows_session_ends_with_the_one_that_it_came_from(
    bob: User, deployment: Deployment, signed_in: Client, client_of: ClientOf, settings: Any
) -> None:
    session = session_of(signed_in, deployment, settings)
    assert now_of(bob, deployment, session) == "viewer"

    end_sessions(user=bob)
    assert now_of(bob, deployment, session) == ""
    assert now_of(bob, deployment) == "viewer"


def test_signing_out_of_the_portal_ends_airflows_session(
    bob: User, deployment: Deployment, signed_in: Client, settings: Any
) -> None:
    session = session_of(signed_in, deployment, settings)

    signed_in.post("/accounts/logout/")

    assert now_of(bob, deployment, session) == ""


def test_the_session_of_somebody_else_is_worth_nothing(
    alice: User, deployment: Deployment, signed_in: Client, settings: Any
) -> None:
    session = session_of(signed_in, deployment, settings)

    assert now_of(alice, deployment, session) == ""


@pytest.mark.parametrize("odd", ["0", "-1", "x", "1" * 40, "\u0661", "1.5", " 1"])
def test_a_session_that_nobody_made_is_over(alice: User, deployment: Deployment, odd: str) -> None:
    assert now_of(alice, deployment, odd) == ""


def question(deployment: Deployment, **changes: Any) -> str:
    asked = {"ref": deployment.ref, "person": "bob@example.org", "portal_session": ""}
    return json.dumps({**asked, **changes})


def ask(body: str, secret: str = f"Bearer {SECRET}") -> Any:
    return Client().post(
        ADDRESS, body, content_type="application/json", headers={"Authorization": secret}
    )


def test_the_edge_is_told(bob: User, deployment: Deployment, settings: Any) -> None:
    settings.EDGE_SECRET = SECRET

    answer = ask(question(deployment))

    assert (answer.status_code, answer.json()) == (200, {"role": "viewer"})
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("secret", ["", "Bearer", "Bearer x", f"Basic {SECRET}", "Bearer ü"])
def test_whoever_else_asks_is_refused(
    bob: User, deployment: Deployment, settings: Any, secret: str
) -> None:
    settings.EDGE_SECRET = SECRET

    assert ask(question(deployment), secret).status_code == 401


def test_without_a_secret_nobody_is_told(
    alice: User, bob: User, deployment: Deployment, settings: Any, client_of: ClientOf
) -> None:
    settings.EDGE_SECRET = ""

    assert ask(question(deployment), "Bearer ").status_code == 401
    assert client_of(alice).post(ADDRESS).status_code == 401


@pytest.mark.parametrize("body", ["", "{", "[]", "7", '{"ref": "a"}', '"ref"', "[" * 5000])
def test_what_is_no_question_is_refused(deployment: Deployment, settings: Any, body: str) -> None:
    settings.EDGE_SECRET = SECRET

    assert ask(body).status_code == 422


@pytest.mark.parametrize("odd", [None, {}, "a\0b", "\ud800", "a" * 5000, 7])
def test_odd_names_have_no_role(deployment: Deployment, settings: Any, odd: Any) -> None:
    settings.EDGE_SECRET = SECRET

    for name in ("ref", "person", "portal_session"):
        answer = ask(question(deployment, **{name: odd}))
        assert answer.status_code in (200, 422)
        assert answer.json().get("role", "") in ("", "viewer")


def test_asking_costs_few_queries(
    bob: User, deployment: Deployment, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(3):
        now_of(bob, deployment)
