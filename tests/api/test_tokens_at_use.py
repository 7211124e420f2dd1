"""Calling with a token: what gets in, what is refused and how, and that no session is made."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.api.gates import BAD_TOKENS
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.deployments.editing.services import delete_deployment
from apps.organizations.cleanup import close_idle_service_users
from apps.organizations.members.services import assign_role, remove_person
from apps.organizations.models import ApiToken, ApiTokenSecret, WorkspaceGrant
from apps.organizations.tasks import sweep_expired
from apps.organizations.tokens.secrets import is_well_formed, new_secret
from apps.organizations.tokens.services import create_token, revoke_token, rotate_token
from tests.conftest import role


@pytest.fixture(autouse=True)
def _quiet() -> None:
    cache.clear()


def calling(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"}, enforce_csrf_checks=True)


@pytest.fixture
def made(alice, workspace) -> tuple[ApiToken, str]:
    return create_token(
        actor=alice,
        on=workspace,
        name="CI",
        role=role("workspace", "member"),
        expires_at=timezone.now() + timedelta(days=1),
    )


def test_a_secret_has_a_prefix_and_a_checksum():
    secret = new_secret()

    assert is_well_formed(secret.text)
    assert len(secret.text) == len("astro_") + 43 + 8
    assert not is_well_formed(secret.text[:-1] + ("0" if secret.text[-1] != "0" else "1"))
    assert not is_well_formed(secret.text + "\n")
    assert not is_well_formed(secret.text, prefix="astro_scim_")


def test_a_token_says_what_it_is(made, deployment):
    answer = calling(made[1]).get("/api/v1/whoami")

    assert answer.status_code == 200
    body = answer.json()
    assert body["name"] == "CI"
    assert body["role"]["name"] == "Workspace Member"
    assert body["on"] == {"kind": "workspace", "name": "Warehouse", "id": "warehouse"}
    assert answer["Cache-Control"] == "no-store"


def test_a_token_lists_what_it_may_see(made, alice, deployment, organization, client_of):
    client_of(alice).post("/o/nordhavn/workspaces/new/", {"name": "Second", "description": ""})

    body = calling(made[1]).get("/api/v1/deployments").json()

    assert [one["ref"] for one in body["deployments"]] == [deployment.ref]
    assert (body["count"], body["next"]) == (1, None)
    assert (
        calling(made[1]).get(f"/api/v1/deployments/{deployment.ref}").json()["name"] == "etl-prod"
    )


def test_a_token_sees_nothing_beside_its_place(alice, make_deployment):
    one, other = make_deployment(), make_deployment()
    _, secret = create_token(
        actor=alice, on=one, name="CI", role=role("deployment", "viewer"), expires_at=None
    )
    client = calling(secret)

    assert client.get(f"/api/v1/deployments/{one.ref}").status_code == 200
    assert client.get(f"/api/v1/deployments/{other.ref}").status_code == 404
    assert client.get("/api/v1/deployments").json()["count"] == 1


def test_no_session_and_no_cookie_is_made(made, deployment):
    answer = calling(made[1]).get("/api/v1/deployments")

    assert not answer.cookies
    assert not Session.objects.exists()


def test_a_session_opens_nothing_here(alice, client_of, deployment):
    answer = client_of(alice).get("/api/v1/deployments")

    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["request_id"] == answer["X-Request-ID"]


def test_a_token_opens_no_page(made, deployment):
    answer = calling(made[1]).get("/w/warehouse/deployments/")

    assert answer.status_code == 302
    assert "/accounts/login/" in answer["Location"]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer astro_x", "Bearer " + "a" * 5000, "bearer é"],
)
def test_what_is_no_token_is_refused_without_a_query(db, header, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = Client(headers={"Authorization": header}).get("/api/v1/whoami")

    assert answer.status_code == 401


def test_a_well_formed_secret_that_nobody_made_is_refused(db):
    assert calling(new_secret().text).get("/api/v1/whoami").status_code == 401


def test_writing_needs_no_csrf_token_and_is_not_offered(made):
    answer = calling(made[1]).post("/api/v1/deployments", {"name": "x"})

    assert answer.status_code == 405
    assert "GET" in answer["Allow"]


def test_an_expired_token_is_refused(made):
    past = timezone.now() - timedelta(seconds=1)
    ApiToken.objects.update(expires_at=past)

    answer = calling(made[1]).get("/api/v1/whoami")

    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_a_revoked_token_is_refused_at_once(alice, made, workspace):
    revoke_token(actor=alice, token=made[0], on=workspace)

    assert calling(made[1]).get("/api/v1/whoami").status_code == 401


def test_after_a_rotation_both_secrets_work_until_the_grace_ends(alice, made, workspace):
    token, before = made

    after = rotate_token(actor=alice, token=token, on=workspace, grace=timedelta(hours=1))

    assert calling(before).get("/api/v1/whoami").status_code == 200
    assert calling(after).get("/api/v1/whoami").status_code == 200
    ApiTokenSecret.objects.exclude(ends_at=None).update(ends_at=timezone.now())
    answer = calling(before).get("/api/v1/whoami")
    assert answer.status_code == 401
    assert "replaced" in answer.json()["detail"]
    assert calling(after).get("/api/v1/whoami").status_code == 200


def test_a_token_dies_with_the_rights_of_who_made_it(alice, bob, workspace):
    operator = role("workspace", "operator")
    assign_role(actor=alice, user=bob, role=operator, on=workspace)
    token, secret = create_token(actor=bob, on=workspace, name="CI", role=operator, expires_at=None)
    assert calling(secret).get("/api/v1/whoami").status_code == 200

    assign_role(actor=alice, user=bob, role=role("workspace", "author"), on=workspace)
    answer = calling(secret).get("/api/v1/whoami")
    assert answer.status_code == 401
    assert "rotate" in answer.json()["detail"]

    new = rotate_token(actor=alice, token=token, on=workspace, grace=timedelta(0))
    assert calling(new).get("/api/v1/whoami").status_code == 200


def test_a_token_dies_when_the_role_of_who_made_it_ends_by_itself(alice, bob, workspace):
    operator = role("workspace", "operator")
    assign_role(actor=alice, user=bob, role=operator, on=workspace)
    _, secret = create_token(actor=bob, on=workspace, name="CI", role=operator, expires_at=None)

    WorkspaceGrant.objects.filter(user=bob).update(expires_at=timezone.now())

    assert calling(secret).get("/api/v1/whoami").status_code == 401


def test_a_token_dies_when_who_made_it_leaves_or_is_disabled(alice, bob, workspace):
    operator = role("workspace", "operator")
    assign_role(actor=alice, user=bob, role=operator, on=workspace)
    _, secret = create_token(actor=bob, on=workspace, name="CI", role=operator, expires_at=None)

    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert calling(secret).get("/api/v1/whoami").status_code == 401
    User.objects.filter(pk=bob.pk).update(is_active=True)
    assert calling(secret).get("/api/v1/whoami").status_code == 200
    remove_person(actor=alice, user=bob, on=workspace.organization)
    assert calling(secret).get("/api/v1/whoami").status_code == 401


def test_a_disabled_service_user_is_refused(made):
    User.objects.filter(pk=made[0].user_id).update(is_active=False)

    assert calling(made[1]).get("/api/v1/whoami").status_code == 401


def test_a_token_whose_workspace_is_gone_is_refused(made, workspace):
    workspace.delete()

    answer = calling(made[1]).get("/api/v1/whoami")

    assert answer.status_code == 401
    assert "was deleted" in answer.json()["detail"]


def test_the_tokens_of_a_workspace_die_with_it(alice, made, client_of):
    answer = client_of(alice).post("/w/warehouse/delete/", {"confirm": "Warehouse"})

    assert answer.status_code == 302
    assert calling(made[1]).get("/api/v1/whoami").status_code == 401
    token = ApiToken.objects.select_related("user").get()
    assert (token.user.is_active, token.secrets.count()) == (False, 0)
    assert token.revoked_at is not None
    event = AuditEvent.objects.get(action="token.revoked")
    assert (event.actor, event.target_label) == (alice, "Warehouse")


def test_the_tokens_of_a_deployment_die_when_its_deletion_begins(alice, make_deployment):
    going, staying = make_deployment(), make_deployment()
    secrets = [
        create_token(
            actor=alice, on=one, name="CI", role=role("deployment", "viewer"), expires_at=None
        )[1]
        for one in (going, staying)
    ]

    delete_deployment(actor=alice, deployment=going, typed_name=going.name)

    assert [calling(one).get("/api/v1/whoami").status_code for one in secrets] == [401, 200]
    (active,) = User.objects.filter(kind="service", is_active=True)
    assert active.has_perm("deployment.view", staying)


def test_a_deletion_that_is_refused_ends_no_token(alice, deployment):
    _, secret = create_token(
        actor=alice, on=deployment, name="CI", role=role("deployment", "viewer"), expires_at=None
    )

    with pytest.raises(Invalid):
        delete_deployment(actor=alice, deployment=deployment, typed_name="another")

    assert calling(secret).get("/api/v1/whoami").status_code == 200


def test_the_tokens_of_an_organization_that_is_gone_are_closed(made, organization):
    organization.delete()
    assert calling(made[1]).get("/api/v1/whoami").status_code == 401

    sweep_expired()

    assert not User.objects.filter(kind="service", is_active=True).exists()


def test_the_job_closes_no_token_that_works(made):
    assert close_idle_service_users() == 0

    assert calling(made[1]).get("/api/v1/whoami").status_code == 200


def test_use_is_written_down_once_a_minute(made):
    client = calling(made[1])
    client.get("/api/v1/whoami")
    first = ApiToken.objects.get().last_used_at
    client.get("/api/v1/whoami")
    assert ApiToken.objects.get().last_used_at == first

    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    client.get("/api/v1/whoami")

    token = ApiToken.objects.get()
    assert token.last_used_at > first
    assert token.last_used_from == "127.0.0.1"


def test_a_call_costs_four_queries_however_many_deployments(
    made, make_deployment, django_assert_max_num_queries
):
    for _ in range(3):
        make_deployment()
    client = calling(made[1])
    client.get("/api/v1/deployments")

    # The secret, its place, what its maker may do there; the page and how many there are.
    with django_assert_max_num_queries(5):
        assert client.get("/api/v1/deployments").json()["count"] == 3


def test_an_address_that_sends_many_bad_tokens_has_to_wait(made):
    bad = calling(new_secret().text)
    for _ in range(BAD_TOKENS):
        assert bad.get("/api/v1/whoami").status_code == 401

    answer = bad.get("/api/v1/whoami")

    assert answer.status_code == 429
    assert answer["Retry-After"] == "60"


def test_bad_tokens_from_an_address_do_not_lock_out_the_good_ones_there(made):
    bad, good = calling(new_secret().text), calling(made[1])
    for _ in range(BAD_TOKENS + 1):
        bad.get("/api/v1/whoami")

    assert bad.get("/api/v1/whoami").status_code == 429
    assert good.get("/api/v1/whoami").status_code == 200
    # A good one in between is no reason to go on guessing.
    assert bad.get("/api/v1/whoami").status_code == 429


def test_a_person_who_may_not_see_the_organization_gets_no_hint(charlie, deployment):
    elsewhere = charlie.organizationgrant_set.get().content_object
    _, secret = create_token(
        actor=charlie, on=elsewhere, name="CI", role=role("organization", "owner"), expires_at=None
    )

    answer = calling(secret).get(f"/api/v1/deployments/{deployment.ref}")

    assert answer.status_code == 404
    assert deployment.name not in answer.content.decode()
