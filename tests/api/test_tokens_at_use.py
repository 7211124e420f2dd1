"""Calling with a token: what gets in, what is refused and how, and that no session is made."""

from datetime import timedelta
from functools import partial
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.access.scopes import organization_over
from apps.accounts.models import User
from apps.api.wire.gates import BAD_TOKENS
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.core.public_ids import public_id
from apps.deployments.editing.services import delete_deployment
from apps.organizations.cleanup import close_idle_service_users
from apps.organizations.members.services import assign_role, remove_person
from apps.organizations.models import ApiToken, ApiTokenSecret, WorkspaceGrant
from apps.organizations.tasks import sweep_expired
from apps.organizations.tokens.secrets import is_well_formed, new_secret
from apps.organizations.tokens.services import create_token, revoke_token, rotate_token
from tests.conftest import role
from tests.slow_bodies import sent_slowly


@pytest.fixture(autouse=True)
def _quiet() -> None:
    cache.clear()


WHO = "/v1/users/self"


def deployments_of(program: Client, on) -> Any:
    """List the Deployments that a token sees, by the path of its organization."""
    organization = organization_over(on)
    return program.get(
        f"/v1/organizations/{public_id('organization', organization.pk)}/deployments"
    )


def one_of(program: Client, deployment) -> Any:
    organization = public_id("organization", deployment.workspace.organization_id)
    found = public_id("deployment", deployment.pk)
    return program.get(f"/v1/organizations/{organization}/deployments/{found}")


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


def test_an_older_secret_has_a_prefix_and_a_checksum():
    secret = new_secret()

    assert is_well_formed(secret.text)
    assert len(secret.text) == len("astro_") + 43 + 8
    assert not is_well_formed(secret.text[:-1] + ("0" if secret.text[-1] != "0" else "1"))
    assert not is_well_formed(secret.text + "\n")
    assert not is_well_formed(secret.text, prefix="astro_scim_")


def test_an_older_secret_works_until_it_ends(made, deployment):
    older = new_secret()
    ApiTokenSecret.objects.update(digest=older.digest, beginning=older.beginning)

    assert calling(older.text).get(WHO).json()["username"] == "CI"
    assert ApiTokenSecret.objects.get().shown == f"{older.beginning}…"


def test_a_secret_tells_clients_what_it_is_for(made, workspace):
    claims = jwt.decode(made[1], options={"verify_signature": False})

    assert claims["permissions"] == [
        f"apiTokenId:{claims['apiTokenId']}",
        f"workspaceId:{public_id('workspace', workspace.pk)}",
        f"organizationId:{public_id('organization', workspace.organization_id)}",
    ]
    assert claims["exp"] == int(made[0].expires_at.timestamp())
    assert ApiTokenSecret.objects.get().shown == f"…{made[1][-6:]}"


def test_claims_are_believed_by_no_one(made, workspace, django_assert_num_queries):
    """Another key, no key, an edited claim: none is looked up at all."""
    claims = jwt.decode(made[1], options={"verify_signature": False})
    head, _, tail = made[1].split(".")
    forged = [
        jwt.encode(claims, "k" * 32, "HS256"),
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, settings.SECRET_KEY.ljust(32), "HS256"),
        f"{head}.{jwt.encode(claims | {'scope': 'organization'}, 'k' * 32).split('.')[1]}.{tail}",
    ]

    with django_assert_num_queries(0):
        answers = [calling(one).get(WHO).status_code for one in forged]

    assert answers == [401] * 4


def test_a_secret_signed_before_the_key_was_changed_works_while_both_are_known(made, settings):
    before = settings.SECRET_KEY
    settings.SECRET_KEY = "another key of at least fifty characters, for the tests"

    assert calling(made[1]).get(WHO).status_code == 401
    settings.SECRET_KEY_FALLBACKS = [before]
    assert calling(made[1]).get(WHO).status_code == 200


def test_a_token_lists_what_it_may_see(made, alice, deployment, organization, client_of):
    client_of(alice).post("/o/nordhavn/workspaces/new/", {"name": "Second", "description": ""})

    body = deployments_of(calling(made[1]), organization).json()

    assert [one["namespace"] for one in body["deployments"]] == [deployment.ref]
    assert body["totalCount"] == 1
    assert one_of(calling(made[1]), deployment).json()["name"] == "etl-prod"


def test_a_token_sees_nothing_beside_its_place(alice, make_deployment):
    one, other = make_deployment(), make_deployment()
    _, secret = create_token(
        actor=alice, on=one, name="CI", role=role("deployment", "viewer"), expires_at=None
    )
    client = calling(secret)

    assert one_of(client, one).status_code == 200
    assert one_of(client, other).status_code == 404
    assert deployments_of(client, one).json()["totalCount"] == 1


def test_no_session_and_no_cookie_is_made(made, deployment):
    answer = deployments_of(calling(made[1]), deployment)

    assert answer.status_code == 200
    assert not answer.cookies
    assert not Session.objects.exists()


def test_a_session_opens_nothing_here(alice, client_of, deployment):
    answer = deployments_of(client_of(alice), deployment)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["requestId"] == answer["X-Request-ID"]


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
        answer = Client(headers={"Authorization": header}).get(WHO)

    assert answer.status_code == 401


def test_a_well_formed_secret_that_nobody_made_is_refused(db):
    assert calling(new_secret().text).get(WHO).status_code == 401


def test_writing_needs_no_csrf_token(alice, organization):
    _, secret = create_token(
        actor=alice, on=organization, name="CI", role=role("organization", "owner"), expires_at=None
    )
    path = f"/v1/organizations/{public_id('organization', organization.pk)}/workspaces"

    answer = calling(secret).post(path, {"name": "New"}, content_type="application/json")

    assert answer.status_code == 200
    assert organization.workspaces.filter(name="New").exists()


def test_an_expired_token_is_refused(made):
    past = timezone.now() - timedelta(seconds=1)
    ApiToken.objects.update(expires_at=past)

    answer = calling(made[1]).get(WHO)

    assert answer.status_code == 401
    assert "expired" in answer.json()["message"]


def test_a_revoked_token_is_refused_at_once(alice, made, workspace):
    revoke_token(actor=alice, token=made[0], on=workspace)

    assert calling(made[1]).get(WHO).status_code == 401


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("padding", [0, 100_000])
def test_a_token_that_is_revoked_while_its_body_arrives_changes_nothing(
    alice, organization, workspace, kind, padding
):
    owner = role("organization", "owner")
    token, secret = create_token(
        actor=alice, on=organization, name="CI", role=owner, expires_at=None
    )
    path = f"/v1/organizations/{public_id('organization', organization.pk)}/workspaces"
    revoke = partial(revoke_token, actor=alice, token=token, on=organization)

    body = b'{"name": "late"}' + b" " * padding

    answer = calling(secret).post(path, content_type=kind, **sent_slowly(body, meanwhile=revoke))

    assert answer.status_code == 401
    assert organization.workspaces.count() == 1


def test_after_a_rotation_both_secrets_work_until_the_grace_ends(alice, made, workspace):
    token, before = made

    after = rotate_token(actor=alice, token=token, on=workspace, grace=timedelta(hours=1))

    assert calling(before).get(WHO).status_code == 200
    assert calling(after).get(WHO).status_code == 200
    ApiTokenSecret.objects.exclude(ends_at=None).update(ends_at=timezone.now())
    answer = calling(before).get(WHO)
    assert answer.status_code == 401
    assert "replaced" in answer.json()["message"]
    assert calling(after).get(WHO).status_code == 200


def test_a_token_dies_with_the_rights_of_who_made_it(alice, bob, workspace):
    operator = role("workspace", "operator")
    assign_role(actor=alice, user=bob, role=operator, on=workspace)
    token, secret = create_token(actor=bob, on=workspace, name="CI", role=operator, expires_at=None)
    assert calling(secret).get(WHO).status_code == 200

    assign_role(actor=alice, user=bob, role=role("workspace", "author"), on=workspace)
    answer = calling(secret).get(WHO)
    assert answer.status_code == 401
    assert "rotate" in answer.json()["message"]

    new = rotate_token(actor=alice, token=token, on=workspace, grace=timedelta(0))
    assert calling(new).get(WHO).status_code == 200


def test_a_token_dies_when_the_role_of_who_made_it_ends_by_itself(alice, bob, workspace):
    operator = role("workspace", "operator")
    assign_role(actor=alice, user=bob, role=operator, on=workspace)
    _, secret = create_token(actor=bob, on=workspace, name="CI", role=operator, expires_at=None)

    WorkspaceGrant.objects.filter(user=bob).update(expires_at=timezone.now())

    assert calling(secret).get(WHO).status_code == 401


def test_a_token_dies_when_who_made_it_leaves_or_is_disabled(alice, bob, workspace):
    operator = role("workspace", "operator")
    assign_role(actor=alice, user=bob, role=operator, on=workspace)
    _, secret = create_token(actor=bob, on=workspace, name="CI", role=operator, expires_at=None)

    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert calling(secret).get(WHO).status_code == 401
    User.objects.filter(pk=bob.pk).update(is_active=True)
    assert calling(secret).get(WHO).status_code == 200
    remove_person(actor=alice, user=bob, on=workspace.organization)
    assert calling(secret).get(WHO).status_code == 401


def test_a_disabled_service_user_is_refused(made):
    User.objects.filter(pk=made[0].user_id).update(is_active=False)

    assert calling(made[1]).get(WHO).status_code == 401


def test_a_token_whose_workspace_is_gone_is_refused(made, workspace):
    workspace.delete()

    answer = calling(made[1]).get(WHO)

    assert answer.status_code == 401
    assert "was deleted" in answer.json()["message"]


def test_the_tokens_of_a_workspace_die_with_it(alice, made, client_of):
    answer = client_of(alice).post("/w/warehouse/delete/", {"confirm": "Warehouse"})

    assert answer.status_code == 302
    assert calling(made[1]).get(WHO).status_code == 401
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

    assert [calling(one).get(WHO).status_code for one in secrets] == [401, 200]
    (active,) = User.objects.filter(kind="service", is_active=True)
    assert active.has_perm("deployment.view", staying)


def test_a_deletion_that_is_refused_ends_no_token(alice, deployment):
    _, secret = create_token(
        actor=alice, on=deployment, name="CI", role=role("deployment", "viewer"), expires_at=None
    )

    with pytest.raises(Invalid):
        delete_deployment(actor=alice, deployment=deployment, typed_name="another")

    assert calling(secret).get(WHO).status_code == 200


def test_the_tokens_of_an_organization_that_is_gone_are_closed(made, organization):
    organization.delete()
    assert calling(made[1]).get(WHO).status_code == 401

    sweep_expired()

    assert not User.objects.filter(kind="service", is_active=True).exists()


def test_the_job_closes_no_token_that_works(made):
    assert close_idle_service_users() == 0

    assert calling(made[1]).get(WHO).status_code == 200


def test_use_is_written_down_once_a_minute(made):
    client = calling(made[1])
    client.get(WHO)
    first = ApiToken.objects.get().last_used_at
    client.get(WHO)
    assert ApiToken.objects.get().last_used_at == first

    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    client.get(WHO)

    token = ApiToken.objects.get()
    assert token.last_used_at > first
    assert token.last_used_from == "127.0.0.1"


def test_an_address_that_sends_many_bad_tokens_has_to_wait(made):
    bad = calling(new_secret().text)
    for _ in range(BAD_TOKENS):
        assert bad.get(WHO).status_code == 401

    answer = bad.get(WHO)

    assert answer.status_code == 429
    assert answer["Retry-After"] == "60"


def test_bad_tokens_from_an_address_do_not_lock_out_the_good_ones_there(made):
    bad, good = calling(new_secret().text), calling(made[1])
    for _ in range(BAD_TOKENS + 1):
        bad.get(WHO)

    assert bad.get(WHO).status_code == 429
    assert good.get(WHO).status_code == 200
    # A good one in between is no reason to go on guessing.
    assert bad.get(WHO).status_code == 429


def test_a_person_who_may_not_see_the_organization_gets_no_hint(charlie, deployment):
    elsewhere = charlie.organizationgrant_set.get().content_object
    _, secret = create_token(
        actor=charlie, on=elsewhere, name="CI", role=role("organization", "owner"), expires_at=None
    )

    answer = one_of(calling(secret), deployment)

    assert answer.status_code == 404
    assert deployment.name not in answer.content.decode()
