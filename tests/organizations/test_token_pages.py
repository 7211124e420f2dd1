import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.access.grants.services import RightsExceeded
from apps.accounts.models import User, UserKind
from apps.accounts.queries import person_with_email
from apps.audit.models import AuditEvent
from apps.deployments.models import DeploymentGrant
from apps.organizations.members.services import assign_role
from apps.organizations.models import ApiToken, ApiTokenSecret, OrganizationGrant, Workspace
from apps.organizations.tokens.services import create_token, revoke_token, rotate_token
from tests.conftest import role

SECRET = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")


def make_token(actor: User, on, key="member", **overrides) -> tuple[ApiToken, str]:
    fields = {"name": "CI", "role": role(type(on).access_scope, key), "expires_at": None}
    return create_token(actor=actor, on=on, **{**fields, **overrides})


@pytest.mark.parametrize("path", ["/o/nordhavn/", "/w/warehouse/", "/d/etl-prod-7f3c/"])
def test_no_page_promises_that_airflow_takes_a_token(alice, deployment, client_of, path):
    client = client_of(alice)

    for page in ("tokens/", "tokens/new/"):
        text = client.get(f"{path}{page}").content.decode()

        assert "Airflow does not accept them yet" in text


@pytest.mark.parametrize(
    ("path", "key"),
    [("/o/nordhavn/", "member"), ("/w/warehouse/", "author"), ("/d/etl-prod-7f3c/", "viewer")],
)
def test_a_token_is_made_shown_once_rotated_and_revoked(alice, deployment, client_of, path, key):
    client = client_of(alice)

    made = client.post(f"{path}tokens/new/", {"name": "CI", "role": key, "until": "month"})
    assert made.status_code == 200
    assert "no-store" in made["Cache-Control"]
    (secret,) = set(SECRET.findall(made.content.decode()))
    token = ApiToken.objects.get()
    assert token.expires_at - timezone.now() < timedelta(days=30)
    assert secret not in repr(list(ApiTokenSecret.objects.values()))

    page = client.get(f"{path}tokens/").content.decode()
    assert "CI" in page
    assert f"…{secret[-6:]}" in page
    assert secret not in page

    rotated = client.post(f"{path}tokens/{token.pk}/rotate/", {"grace": "hour"})
    (new,) = set(SECRET.findall(rotated.content.decode()))
    assert new != secret
    assert "works until" in client.get(f"{path}tokens/").content.decode()

    assert client.post(f"{path}tokens/{token.pk}/revoke/").status_code == 302
    assert "No API tokens yet" in client.get(f"{path}tokens/").content.decode()
    assert not ApiTokenSecret.objects.exists()
    actions = list(AuditEvent.objects.filter(actor=alice).values_list("action", flat=True))
    assert {"token.created", "token.rotated", "token.revoked", "role.granted"} <= set(actions)
    events = repr(list(AuditEvent.objects.values()))
    assert secret not in events
    assert new not in events


def test_nobody_makes_a_token_above_their_own_rights(alice, bob, workspace, client_of):
    assign_role(actor=alice, user=bob, role=role("workspace", "operator"), on=workspace)

    with pytest.raises(RightsExceeded):
        make_token(bob, workspace, key="owner")
    answer = client_of(bob).post("/w/warehouse/tokens/new/", {"name": "CI", "role": "owner"})
    assert answer.status_code == 422
    assert not ApiToken.objects.exists()


def test_nobody_rotates_or_revokes_a_token_above_their_own_rights(alice, bob, workspace, client_of):
    """A new secret would be a way to rights that one does not hold."""
    assign_role(actor=alice, user=bob, role=role("workspace", "operator"), on=workspace)
    token, _ = make_token(alice, workspace, key="owner")

    with pytest.raises(RightsExceeded):
        rotate_token(actor=bob, token=token, on=workspace, grace=timedelta(0))
    with pytest.raises(RightsExceeded):
        revoke_token(actor=bob, token=token, on=workspace)
    client = client_of(bob)
    assert (
        client.post(f"/w/warehouse/tokens/{token.pk}/rotate/", {"grace": "none"}).status_code == 422
    )
    assert client.post(f"/w/warehouse/tokens/{token.pk}/revoke/").status_code == 422
    assert ApiToken.objects.get().revoked_at is None


def test_the_page_says_which_tokens_died_with_their_maker(alice, bob, workspace, client_of):
    operator = role("workspace", "operator")
    assign_role(actor=alice, user=bob, role=operator, on=workspace)
    make_token(bob, workspace, role=operator)
    client = client_of(alice)
    assert b"Not working: " not in client.get("/w/warehouse/tokens/").content

    assign_role(actor=alice, user=bob, role=role("workspace", "member"), on=workspace)

    assert b"Not working: " in client.get("/w/warehouse/tokens/").content


def test_a_token_of_one_place_has_no_page_at_another(
    alice, charlie, workspace, deployment, client_of
):
    token, _ = make_token(alice, workspace)
    client = client_of(alice)

    assert client.post(f"/o/nordhavn/tokens/{token.pk}/revoke/").status_code == 404
    assert client.post(f"/d/etl-prod-7f3c/tokens/{token.pk}/rotate/", {}).status_code == 404
    assert client_of(charlie).get("/w/warehouse/tokens/").status_code == 404
    assert client_of(charlie).post(f"/w/other/tokens/{token.pk}/revoke/").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "role": "member"},
        {"name": "x" * 81, "role": "member"},
        {"name": "New", "role": ""},
        {"name": "New", "role": "nonsense"},
        {"name": "New", "role": "member", "until": "date"},
        {"name": "ci", "role": "member"},
    ],
)
def test_bad_input_gets_a_sentence(alice, workspace, client_of, body):
    make_token(alice, workspace)

    assert client_of(alice).post("/w/warehouse/tokens/new/", body).status_code == 422
    assert ApiToken.objects.count() == 1


def test_tokens_are_no_people(alice, organization, workspace, client_of):
    make_token(alice, organization)
    make_token(alice, workspace)
    service = User.objects.filter(kind=UserKind.SERVICE).first()
    client = client_of(alice)

    for page in ("/o/nordhavn/members/", "/w/warehouse/members/", "/search/?q=CI"):
        assert "tokens.invalid" not in client.get(page).content.decode()
    assert client.get(f"/o/nordhavn/members/{service.pk}/").status_code == 404
    assert person_with_email(email=service.email) is None
    assert OrganizationGrant.objects.live().of_people().count() == 1
    assert b"API token" in client.get("/w/warehouse/who/").content


def test_a_token_does_not_sign_in(alice, workspace, client, mailoutbox):
    make_token(alice, workspace)
    service = User.objects.get(kind=UserKind.SERVICE)
    service.set_password("correct horse battery")
    service.save(update_fields=["password"])

    client.post("/accounts/login/", {"login": service.email, "password": "correct horse battery"})

    assert "_auth_user_id" not in client.session
    client.post("/accounts/password/reset/", {"email": service.email})
    assert mail.outbox == []
    assert mailoutbox == []


def test_no_token_is_made_an_operator(alice, workspace):
    make_token(alice, workspace)
    service = User.objects.get(kind=UserKind.SERVICE)
    service.is_operator = True

    with pytest.raises(ValidationError):
        service.validate_constraints()


def test_a_token_ends_with_its_role(alice, deployment):
    in_an_hour = timezone.now() + timedelta(hours=1)
    token, _ = make_token(alice, deployment, key="viewer", expires_at=in_an_hour)

    assert DeploymentGrant.objects.get(user=token.user).expires_at == in_an_hour


def test_the_list_costs_the_same_for_one_and_for_many(alice, workspace, client_of):
    client = client_of(alice)
    make_token(alice, workspace, name="first")
    client.get("/w/warehouse/tokens/")
    with CaptureQueriesContext(connection) as few:
        client.get("/w/warehouse/tokens/")
    for number in range(5):
        make_token(alice, workspace, name=f"CI {number}")

    with CaptureQueriesContext(connection) as many:
        client.get("/w/warehouse/tokens/")

    assert len(many) == len(few)


def test_a_token_of_a_workspace_goes_with_it(alice, organization, client_of):
    second = Workspace.objects.create(organization=organization, name="Second", slug="second")
    token, _ = make_token(alice, second)

    second.delete()

    assert not token.user.workspacegrant_set.exists()
