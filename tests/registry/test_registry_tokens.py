"""The portal as token server: who gets a token for what, and that nothing can be told apart."""

import base64
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.api.oauth.client import CLIENT_ID, ensure_client
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict
from apps.deployments.models import Deployment, Phase
from apps.deployments.secrets.pulling import (
    LASTS_SECONDS,
    ROBOT,
    STEP_SECONDS,
    pull_config,
    pull_credential,
    ref_in_credential,
)
from apps.organizations.models import ApiToken, OrganizationGrant
from apps.organizations.tokens.logins import make_tokens, note_login
from apps.organizations.tokens.personal import create_personal_token
from apps.organizations.tokens.services import create_token, revoke_token
from apps.registry import services
from apps.registry.models import RegistryKey
from apps.registry.scopes import MOST_SCOPES, scopes_in
from apps.registry.signing import bundle, prepare_next_key, switch_to_next_key
from tests.conftest import role

HOST = "registry.example.org:5000"
PUSH = "repository:deployments/etl-prod-7f3c:pull,push"
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _registry(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REGISTRY = HOST
    # Finding primes takes longer than all the rest.
    monkeypatch.setattr("apps.registry.signing.rsa.generate_private_key", lambda **kwargs: KEY)
    cache.clear()


@pytest.fixture
def secret_of(organization: Any) -> Callable[[Any], str]:
    def make(person: Any) -> str:
        return create_personal_token(user=person, organization=organization, name="CLI", days=1)[1]

    return make


def ask(secret: str, *scopes: str, service: str = HOST, user: str = "anything") -> Any:
    headers = {"Authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}
    query = {"service": service, "scope": list(scopes), "account": user, "client_id": "docker"}
    return Client(headers=headers).get(reverse("registry:token"), query)


def access(response: Any) -> dict[str, list[str]]:
    """Read a token as the registry does: by the certificate in it, which must be in the bundle."""
    assert response.status_code == 200, response.content
    token = response.json()["token"]
    der = base64.b64decode(jwt.get_unverified_header(token)["x5c"][0])
    trusted = x509.load_pem_x509_certificates(bundle().encode())
    certificate = x509.load_der_x509_certificate(der)
    assert certificate in trusted
    claims = jwt.decode(
        token,
        certificate.public_key(),  # type: ignore[arg-type]  # of RSA
        algorithms=["RS256"],
        audience=HOST,
        issuer=settings.PORTAL_URL,
    )
    assert claims["exp"] - claims["iat"] == response.json()["expires_in"] == 300
    return {one["name"]: one["actions"] for one in claims["access"]}


def test_rights_on_a_repository_follow_the_permissions_on_its_deployment(
    alice: Any, bob: Any, charlie: Any, deployment: Deployment, secret_of: Any
):
    at = OrganizationGrant.objects.get(user=charlie).content_object
    elsewhere = create_personal_token(user=charlie, organization=at, name="CLI", days=1)[1]

    assert access(ask(secret_of(alice), PUSH)) == {"deployments/etl-prod-7f3c": ["pull", "push"]}
    of_bob = secret_of(bob)
    assert access(ask(of_bob, PUSH)) == {"deployments/etl-prod-7f3c": ["pull"]}
    assert access(ask(elsewhere, PUSH)) == {}
    assert access(ask(elsewhere, PUSH.replace("7f3c", "none"))) == {}
    assert access(ask(of_bob)) == {}, "docker login asks for nothing"


def test_an_api_token_has_the_rights_of_its_role(
    alice: Any, deployment: Deployment, make_deployment: Any
):
    other = make_deployment()
    _, author = create_token(
        actor=alice, on=deployment, name="CI", role=role("deployment", "author"), expires_at=None
    )
    both = [PUSH, f"repository:deployments/{other.ref}:pull"]

    assert access(ask(f"Bearer {author}", PUSH, user="cli")), "as the Astro CLI signs in"

    assert access(ask(author, *both)) == {"deployments/etl-prod-7f3c": ["pull", "push"]}
    assert access(ask(author, " ".join(both))) == {"deployments/etl-prod-7f3c": ["pull", "push"]}


def test_what_the_operator_shares_is_for_all_who_sign_in(
    alice: Any, bob: Any, secret_of: Any, deployment: Deployment
):
    alice.is_operator = True
    alice.save(update_fields=["is_operator"])
    shared = "repository:runtime/airflow:pull,push"
    robot = pull_credential(ref=deployment.ref, now=timezone.now())

    assert access(ask(secret_of(alice), shared)) == {"runtime/airflow": ["pull", "push"]}
    assert access(ask(secret_of(bob), shared)) == {"runtime/airflow": ["pull"]}
    assert access(ask(robot, shared)) == {"runtime/airflow": ["pull"]}


def test_a_program_that_is_signed_in_pushes_where_its_person_may(
    alice: Any, charlie: Any, deployment: Deployment
):
    ensure_client()

    def signed_in(person: Any) -> str:
        made = make_tokens(user=person, client_id=CLIENT_ID)
        note_login(tokens=[made["access_token"]], notes=None, program="CLI", address="::1")
        return made["access_token"]

    assert access(ask(signed_in(alice), PUSH)) == {"deployments/etl-prod-7f3c": ["pull", "push"]}
    assert access(ask(signed_in(charlie), PUSH)) == {}


def test_a_limited_token_of_the_operator_shares_nothing(alice: Any, organization: Any):
    alice.is_operator = True
    alice.save(update_fields=["is_operator"])
    _, limited = create_personal_token(
        user=alice, organization=organization, name="CI", days=1, limit="deploy"
    )

    assert access(ask(limited, "repository:runtime/airflow:pull,push")) == {
        "runtime/airflow": ["pull"]
    }


def test_secrets_that_do_not_work_are_refused_alike_and_recorded_once_a_minute(
    alice: Any, workspace: Any, deployment: Deployment
):
    made, revoked = create_token(
        actor=alice, on=workspace, name="old", role=role("workspace", "owner"), expires_at=None
    )
    revoke_token(actor=alice, token=made, on=workspace)
    over, expired = create_token(
        actor=alice, on=workspace, name="over", role=role("workspace", "owner"), expires_at=None
    )
    ApiToken.objects.filter(pk=over.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    answers = [ask(one, PUSH) for one in (revoked, expired, "", "made up", "ü" * 5_000)]

    assert [answer.status_code for answer in answers] == [401] * 5
    assert all(answer["WWW-Authenticate"].startswith("Basic ") for answer in answers)
    assert "expired" in answers[1].json()["errors"][0]["message"]
    events = AuditEvent.objects.filter(action="registry.sign_in_refused")
    assert [event.target_label for event in events] == [HOST]
    assert revoked not in str([event.changes for event in events])


def test_guessing_ends_with_a_wait_and_good_tokens_pass(
    alice: Any, secret_of: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
):
    monkeypatch.setattr(services, "BAD_SIGN_INS", 2)
    good = secret_of(alice)
    bad = [ask("nothing", PUSH).status_code for _ in range(3)]

    assert bad == [401, 401, 429]
    assert ask("nothing", PUSH)["Retry-After"] == "60"
    assert ask(good, PUSH).status_code == 200
    settings.API_CALLS_PER_MINUTE = 1
    assert ask(good, PUSH).status_code == 429


def test_the_service_must_be_this_registry(alice: Any, secret_of: Any, settings: Any):
    secret = secret_of(alice)
    wrong = ask(secret, PUSH, service="registry.elsewhere.test")

    assert wrong.status_code == 400
    assert f"must be {HOST}" in wrong.json()["errors"][0]["message"]
    settings.REGISTRY = ""
    assert ask(secret, PUSH, service="").status_code == 404
    assert ask("", PUSH, service="").status_code == 401


def test_the_form_of_oauth_takes_the_secret_as_password_or_refresh_token(
    alice: Any, secret_of: Any, deployment: Deployment
):
    secret = secret_of(alice)
    forms = [
        {"grant_type": "password", "username": "x", "password": secret},
        {"grant_type": "refresh_token", "refresh_token": secret},
        {"grant_type": "authorization_code", "code": secret, "password": secret},
    ]
    answers = [
        Client(enforce_csrf_checks=True).post(
            reverse("registry:token"), {**form, "service": HOST, "scope": PUSH, "client_id": "d"}
        )
        for form in forms
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 401]
    assert access(answers[1]) == {"deployments/etl-prod-7f3c": ["pull", "push"]}
    assert answers[2].json()["error"] == "invalid_grant"


def test_a_robot_pulls_the_images_of_its_deployment_alone_until_its_end(
    deployment: Deployment, make_deployment: Any
):
    now, other = timezone.now(), make_deployment()
    secret = pull_credential(ref=deployment.ref, now=now)
    asked = [PUSH, f"repository:deployments/{other.ref}:pull"]

    assert access(ask(secret, *asked, user=ROBOT)) == {"deployments/etl-prod-7f3c": ["pull"]}
    later = now + timedelta(seconds=LASTS_SECONDS)
    assert ref_in_credential(secret, now=later) == ""
    assert ref_in_credential(secret, now=later - timedelta(seconds=STEP_SECONDS)) == deployment.ref
    Deployment.objects.filter(pk=deployment.pk).update(phase=Phase.DELETED)
    assert access(ask(secret, PUSH)) == {}


def test_pull_secrets_change_each_six_hours_and_fall_with_the_secret_key(
    deployment: Deployment, settings: Any
):
    start = timezone.now().replace(hour=0, minute=0, second=0)
    texts = [
        pull_config(ref="etl", now=start + timedelta(minutes=minutes)) for minutes in (0, 359, 360)
    ]

    assert texts[0] == texts[1] != texts[2]
    secret = pull_credential(ref="etl", now=start)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", ["only-for-tests"]
    assert ref_in_credential(secret, now=start) == "etl"
    settings.SECRET_KEY_FALLBACKS = []
    assert ref_in_credential(secret, now=start) == ""
    settings.REGISTRY = ""
    assert pull_config(ref="etl", now=start) == ""


def test_scopes_that_are_not_understood_are_not_granted():
    texts = (
        "repository:a:pull repository:b:*,delete registry:catalog:* repository(plugin):c:pull",
        "repository:../etc:pull repository::push repository:d",
        "repository:" + "e" * 400 + ":pull",
    )

    read = scopes_in(texts)

    assert [(one.repository, one.actions) for one in read] == [("a", ("pull",)), ("b", ())]
    assert len(scopes_in([" ".join(f"repository:r{n}:pull" for n in range(50))])) == MOST_SCOPES


def test_a_key_is_replaced_after_the_registry_knows_the_next(
    alice: Any, secret_of: Any, tmp_path: Path
):
    before = bundle()
    with pytest.raises(Conflict):
        switch_to_next_key()
    prepare_next_key()
    prepare_next_key()
    both, first = bundle(), RegistryKey.objects.get(is_current=True)
    out, written = StringIO(), tmp_path / "portal-bundle.pem"

    call_command("registry_key", "--switch", stdout=out)
    call_command("registry_key", "--output", str(written), stdout=StringIO())

    assert both.startswith(before)
    assert both.count("BEGIN CERTIFICATE") == 2
    assert out.getvalue() == written.read_text() == both.removeprefix(before)
    assert not RegistryKey.objects.filter(pk=first.pk).exists()
    assert access(ask(secret_of(alice), PUSH)) == {}
    with pytest.raises(CommandError):
        call_command("registry_key", "--switch", stdout=out)
    assert b"PRIVATE KEY" not in bytes(RegistryKey.objects.get().private_key)


def test_operators_read_how_to_set_the_registry_up(alice: Any, client_of: Any, settings: Any):
    alice.is_operator = True
    alice.save(update_fields=["is_operator"])
    operator = client_of(alice)

    page = operator.get(reverse("registry:setup")).content.decode()

    assert f"service: {HOST}" in page
    assert "BEGIN CERTIFICATE" in page
    assert operator.get(reverse("registry:certificates")).content.decode() == bundle()
    settings.REGISTRY = ""
    assert "This portal has no registry" in operator.get(reverse("registry:setup")).content.decode()


def test_a_token_takes_few_queries_however_much_is_asked_for(
    alice: Any, secret_of: Any, make_deployment: Any, django_assert_max_num_queries: Any
):
    secret = secret_of(alice)
    scopes = [f"repository:deployments/{make_deployment().ref}:pull,push" for _ in range(6)]
    ask(secret, PUSH)

    with django_assert_max_num_queries(14):
        found = access(ask(secret, *scopes))

    assert len(found) == 6
