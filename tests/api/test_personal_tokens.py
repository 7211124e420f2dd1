"""Personal tokens: made on the account page, worth what their person is worth."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid
from apps.core.public_ids import public_id
from apps.organizations.members.services import remove_person
from apps.organizations.models import Organization, PersonalToken
from apps.organizations.tokens.personal import (
    LIMITS,
    create_personal_token,
    end_personal_tokens_at,
)
from tests.api.conftest import Program
from tests.conftest import put_role, role


def made_on_page(client, **typed) -> str:
    form = {"name": "my laptop", "days": 7, "limit": "all", **typed}
    answer = client.post("/account/tokens/new/", form)
    return answer.context["secret"]


def test_a_token_is_made_on_the_account_page_and_calls_as_the_person(
    bob, client_of, organization, deployment
):
    client = client_of(bob)

    secret = made_on_page(client)

    program = Program(secret, organization)
    assert program.get("/v1/users/self").json()["username"] == "bob@example.org"
    assert program.get("/deployments").json()["totalCount"] == 1
    path = f"/deployments/{public_id('deployment', deployment.pk)}"
    assert program.delete(path).status_code == 403
    page = client.get("/account/tokens/").content.decode()
    assert "my laptop" in page
    assert secret not in page
    event = AuditEvent.objects.get(action="personal_token.created")
    assert (event.actor, secret in str(event.changes)) == (bob, False)


def test_the_secret_is_stored_nowhere(bob, client_of):
    secret = made_on_page(client_of(bob))

    row = PersonalToken.objects.get()
    assert secret not in "".join(str(value) for value in vars(row).values())
    assert row.ending == f"…{secret[-6:]}"


def test_a_token_ends_with_its_time_the_password_the_account_and_the_membership(
    bob, alice, organization, client_of
):
    def works(secret) -> bool:
        return Program(secret, organization).get("").status_code == 200

    first = made_on_page(client_of(bob))
    assert works(first)
    PersonalToken.objects.update(expires_at=timezone.now())
    assert not works(first)
    PersonalToken.objects.update(expires_at=timezone.now() + timedelta(days=1))
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert not works(first)
    User.objects.filter(pk=bob.pk).update(is_active=True)
    assert works(first)
    remove_person(actor=alice, user=bob, on=organization)
    assert not works(first)
    put_role(bob, role("organization", "member"), organization)
    assert works(first)
    bob.set_password("another long password")
    bob.save(update_fields=["password"])
    assert not works(first)


def test_single_sign_on_that_becomes_required_ends_them(bob, organization, program_of):
    program = program_of(bob)

    end_personal_tokens_at(domain="elsewhere.org")
    assert program.get("").status_code == 200
    end_personal_tokens_at(domain="example.org")

    assert program.get("").status_code == 401


def test_a_token_is_of_one_organization(bob, organization, client_of):
    other = Organization.objects.create(name="Second", slug="second")
    put_role(bob, role("organization", "owner"), other)
    client = client_of(bob)

    missing = client.post("/account/tokens/new/", {"name": "x", "days": 7, "limit": "all"})
    secret = made_on_page(client, organization=other.pk)

    assert missing.status_code == 422
    assert Program(secret, other).get("").status_code == 200
    assert Program(secret, organization).get("").status_code == 404


def test_people_revoke_their_own_alone(bob, alice, client_of, organization, program_of):
    program = program_of(bob)
    token = PersonalToken.objects.get()

    stranger = client_of(alice).post(f"/account/tokens/{token.pk}/revoke/")
    assert (stranger.status_code, program.get("").status_code) == (404, 200)
    client_of(bob).post(f"/account/tokens/{token.pk}/revoke/")

    assert program.get("").status_code == 401


@pytest.mark.parametrize(
    ("typed", "field"), [({"days": 91}, "days"), ({"days": 0}, "days"), ({"name": "CLI"}, "name")]
)
def test_bad_input_is_refused_at_its_field(bob, organization, program_of, typed, field):
    program_of(bob)
    given = {"name": "x", "days": 7, **typed}

    with pytest.raises(Invalid) as caught:
        create_personal_token(user=bob, organization=organization, **given)

    assert caught.value.field == field


def test_who_is_in_no_organization_is_told_so(db, client_of):
    lonely = User.objects.create_user("lonely@example.org", "correct horse battery", name="Lo")
    client = client_of(lonely)

    assert "You are in no organization" in client.get("/account/tokens/").content.decode()
    assert (
        client.post("/account/tokens/new/", {"name": "x", "days": 7, "limit": "all"}).status_code
        == 422
    )


def test_a_token_may_be_limited_to_a_part_of_what_its_person_may_do(
    alice, organization, deployment, client_of
):
    client = client_of(alice)
    programs = {
        limit: Program(made_on_page(client, name=limit, limit=limit), organization)
        for limit in LIMITS
    }
    path = f"/deployments/{public_id('deployment', deployment.pk)}"

    def outcomes(limit: str) -> list[int]:
        program = programs[limit]
        return [
            program.get(path).status_code,
            program.post(f"{path}/deploys", {"type": "DAG_ONLY"}).status_code,
            program.post("/workspaces", {"name": limit}).status_code,
        ]

    assert outcomes("all") == [200, 200, 200]
    assert outcomes("run") == [200, 200, 403]
    assert outcomes("deploy") == [200, 200, 403]
    assert outcomes("read") == [200, 403, 403]
    assert programs["read"].get("/deployments").json()["totalCount"] == 1
    assert "Read and deploy code" in client.get("/account/tokens/").content.decode()
    event = AuditEvent.objects.filter(action="personal_token.created").last()
    assert "for 7 days" in str(event.changes)


def test_a_limit_gives_nothing_that_its_person_does_not_have(bob, organization, deployment):
    limited = {"permissions": sorted(LIMITS["run"][1])}
    _, secret = create_personal_token(
        user=bob, organization=organization, name="x", days=1, limit="run"
    )

    path = f"/deployments/{public_id('deployment', deployment.pk)}/deploys"
    answer = Program(secret, organization).post(path, {"type": "DAG_ONLY"})

    assert answer.status_code == 403
    assert PersonalToken.objects.get().permissions == limited["permissions"]
