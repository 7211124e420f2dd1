from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.test import Client

from apps.access.grants.services import grant
from apps.accounts.models import User
from apps.airflow_access.tickets import path_in_airflow
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment
from tests.conftest import make_user, role

ClientOf = Callable[[User], Client]
BASE = "http://localhost:8081/etl-prod-7f3c/"


@pytest.fixture
def key(settings: Any) -> Ed25519PrivateKey:
    return make_key(settings)


def make_key(settings: Any) -> Ed25519PrivateKey:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    settings.AIRFLOW_SIGN_IN_KEY = pem.decode()
    settings.PORTAL_URL = "http://portal.test"
    settings.AIRFLOW_URL = "http://localhost:8081"
    return private


def claims(response: Any, key: Ed25519PrivateKey) -> dict[str, Any]:
    ticket = response.context["admission"].ticket
    return jwt.decode(
        ticket,
        key.public_key(),
        algorithms=["EdDSA"],
        audience="airflow:etl-prod-7f3c",
        issuer="http://portal.test",
    )


def test_it_posts_a_ticket_to_the_airflow_of_the_deployment(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    response = client_of(alice).post(
        "/d/etl-prod-7f3c/airflow/", {"next": "/etl-prod-7f3c/dags?x=1"}
    )

    page = response.content.decode()
    ticket = response.context["admission"].ticket
    assert response.status_code == 200
    assert f'action="{BASE}auth/portal/callback"' in page
    assert f'<input type="hidden" name="token" value="{ticket}">' in page
    assert 'name="next" value="/etl-prod-7f3c/dags?x=1"' in page
    assert "data-submit" in page
    assert f"?{ticket}" not in page


def test_the_ticket_says_who_in_which_role_for_which_airflow_and_one_minute(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    client = client_of(alice)

    first = claims(client.post("/d/etl-prod-7f3c/airflow/"), key)
    second = claims(client.post("/d/etl-prod-7f3c/airflow/"), key)

    assert (first["sub"], first["name"], first["role"]) == ("alice@example.org", "Alice", "admin")
    assert first["exp"] - first["iat"] == 60
    assert abs(first["iat"] - datetime.now(UTC).timestamp()) < 30
    assert first["jti"] != second["jti"]


def test_the_page_is_kept_nowhere(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    response = client_of(alice).post("/d/etl-prod-7f3c/airflow/")

    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "origin"


@pytest.mark.parametrize(
    ("scope", "held", "there"),
    [
        ("deployment", "viewer", "viewer"),
        ("deployment", "author", "user"),
        ("deployment", "admin", "admin"),
        ("workspace", "member", "viewer"),
        ("workspace", "author", "user"),
        ("workspace", "operator", "op"),
        ("workspace", "owner", "admin"),
    ],
)
def test_the_role_in_airflow_fits_the_role_here(
    deployment: Deployment,
    client_of: ClientOf,
    key: Ed25519PrivateKey,
    scope: str,
    held: str,
    there: str,
) -> None:
    user = make_user("Dora")
    on = deployment if scope == "deployment" else deployment.workspace
    grant(actor=None, user=user, role=role(scope, held), on=on)

    response = client_of(user).post("/d/etl-prod-7f3c/airflow/")

    assert claims(response, key)["role"] == there


def test_opening_is_on_record_without_the_ticket(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    client_of(alice).post("/d/etl-prod-7f3c/airflow/")

    event = AuditEvent.objects.get(action="airflow.opened")
    assert event.changes == {"role in Airflow": [None, "admin"]}
    assert event.actor == alice


def test_charlie_does_not_learn_that_it_exists(
    charlie: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    assert client_of(charlie).post("/d/etl-prod-7f3c/airflow/").status_code == 404
    assert client_of(charlie).get("/airflow/etl-prod-7f3c/").status_code == 404


def test_somebody_who_sees_the_workspace_only_is_refused(
    deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    user = make_user("Erik")
    grant(actor=None, user=user, role=role("workspace", "accessor"), on=deployment.workspace)

    assert client_of(user).post("/d/etl-prod-7f3c/airflow/").status_code == 404


def test_who_comes_from_airflow_without_a_session_signs_in_first(
    deployment: Deployment, key: Ed25519PrivateKey
) -> None:
    response = Client().get("/airflow/etl-prod-7f3c/", {"next": f"{BASE}dags/welcome"})

    assert response.status_code == 302
    assert response["Location"].startswith(
        "/accounts/login/?next=/airflow/etl-prod-7f3c/%3Fnext%3D"
    )


def test_who_comes_from_airflow_goes_back_to_the_same_page(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    response = client_of(alice).get(
        "/airflow/etl-prod-7f3c/", {"next": f"{BASE}dags/welcome?tab=a"}
    )

    assert response.context["admission"].next == "/etl-prod-7f3c/dags/welcome?tab=a"


def test_the_address_is_what_the_data_plane_says(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    deployment.observation = {"ui_url": "https://airflow.example.org/etl"}
    deployment.save(update_fields=["observation"])

    response = client_of(alice).post("/d/etl-prod-7f3c/airflow/", {"next": "/elsewhere"})

    admission = response.context["admission"]
    assert admission.callback_url == "https://airflow.example.org/etl/auth/portal/callback"
    assert admission.next == ""


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/etl-prod-7f3c/dags", "/etl-prod-7f3c/dags"),
        (f"{BASE}dags?a=1#frag", "/etl-prod-7f3c/dags?a=1"),
        ("https://evil.example/etl-prod-7f3c/dags", "/etl-prod-7f3c/dags"),
        ("", ""),
        ("/other-9x2k/dags", ""),
        ("//evil.example/etl-prod-7f3c/", "/etl-prod-7f3c/"),
        ("https://evil.example//etl-prod-7f3c/", ""),
        ("javascript:alert(1)", ""),
        ("/etl-prod-7f3c/../admin", ""),
        ("/etl-prod-7f3c/%2e%2e/admin", ""),
        ("/etl-prod-7f3c/%252e%252e/admin", ""),
        ("/etl-prod-7f3c/%25252e%25252e/admin", ""),
        ("/etl-prod-7f3c/a%2f..%2fb", ""),
        ("/etl-prod-7f3c/%5cevil", ""),
        (
            "/etl-prod-7f3c/runs/manual__2026%3A00%2B00",
            "/etl-prod-7f3c/runs/manual__2026%3A00%2B00",
        ),
        ("/etl-prod-7f3c/\\evil", ""),
        ("/etl-prod-7f3c/\r\nSet-Cookie: a=b", ""),
        ("/etl-prod-7f3c/ x", ""),
        ("http://[bad/etl-prod-7f3c/", ""),
        ("/etl-prod-7f3c/" + "a" * 3000, ""),
    ],
)
def test_next_is_a_path_in_this_airflow_or_nothing(target: str, path: str) -> None:
    assert path_in_airflow(target, base=BASE) == path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"applied": None}, "not started for the first time"),
        ({"health": "starting"}, "is starting, which takes"),
        ({"health": "stopped"}, "is not running at the moment"),
    ],
)
def test_an_airflow_that_is_not_up_is_said_and_tried_again(
    alice: User,
    deployment: Deployment,
    client_of: ClientOf,
    key: Ed25519PrivateKey,
    fields: dict[str, Any],
    message: str,
) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(**fields)

    response = client_of(alice).post("/d/etl-prod-7f3c/airflow/", {"next": "/etl-prod-7f3c/dags"})

    assert response.status_code == 503
    assert message in response.content.decode()
    assert response["Refresh"] == "5; url=/airflow/etl-prod-7f3c/?next=%2Fetl-prod-7f3c%2Fdags"
    assert not AuditEvent.objects.filter(action="airflow.opened").exists()


def test_a_deployment_that_goes_has_no_door(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(phase="deleting")

    response = client_of(alice).post("/d/etl-prod-7f3c/airflow/")

    assert response.status_code == 503
    assert "being deleted" in response.content.decode()
    assert "Refresh" not in response


def test_a_portal_without_a_key_says_so(
    alice: User, deployment: Deployment, client_of: ClientOf, settings: Any
) -> None:
    settings.AIRFLOW_SIGN_IN_KEY = ""

    response = client_of(alice).post("/d/etl-prod-7f3c/airflow/")

    assert "Set PORTAL_AIRFLOW_SIGN_IN_KEY" in response.content.decode()


def test_opening_from_a_deployments_page_is_a_post(
    alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    assert client_of(alice).get("/d/etl-prod-7f3c/airflow/").status_code == 405


def test_the_ticket_is_not_in_a_repr(
    alice: User, deployment: Deployment, client_of: ClientOf, key: Ed25519PrivateKey
) -> None:
    admission = client_of(alice).post("/d/etl-prod-7f3c/airflow/").context["admission"]

    assert admission.ticket not in repr(admission)
