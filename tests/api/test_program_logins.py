"""Signing a program in through the browser, as `astro login` does it, and signing it out."""

import base64
import hashlib
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.idp.oidc.models import Token
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import deactivate_person
from apps.audit.models import AuditEvent
from apps.organizations.models import Organization
from apps.organizations.tokens.logins import LONGEST, end_logins_at, logins_of, remove_expired
from tests.api.conftest import Program
from tests.conftest import put_role, role

VERIFIER = "v" * 43
CALLBACK = "http://localhost:12345/callback"
AGENT = {"User-Agent": "astro-cli/1.45.0 linux"}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    cache.clear()


def challenge() -> str:
    return (
        base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    )


def wanted(**changes: Any) -> str:
    """Write the address that the CLI opens in the browser."""
    asked = {
        "prompt": "login",
        "audience": "astro-portal",
        "client_id": "astro-cli",
        "redirect_uri": CALLBACK,
        "scope": "openid profile email offline_access",
        "response_type": "code",
        "response_mode": "query",
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
    }
    return f"/login/authorize?{urlencode({**asked, **changes})}"


def allow(client: Client, address: str, action: str = "grant") -> dict[str, list[str]]:
    """Press a button of the consent page; return what the program is told."""
    page = client.get(address)
    assert page.status_code == 200, page.status_code
    form = {
        "request": page.context["form"]["request"].value(),
        "scopes": "portal",
        "action": action,
    }
    answer = client.post("/login/authorize", form)
    assert answer.status_code == 200
    target = answer.context["url"]
    assert target.startswith(CALLBACK)
    return parse_qs(urlsplit(target).query)


def post(path: str, **form: str) -> Any:
    """Send a form as programs do."""
    return Client(headers=AGENT).post(
        path, urlencode(form), content_type="application/x-www-form-urlencoded"
    )


def exchange(**form: str) -> Any:
    return post("/login/oauth/token", **{"client_id": "astro-cli", **form})


def code_for(client: Client, **changes: Any) -> str:
    return allow(client, wanted(**changes))["code"][0]


def spend(code: str, **changes: str) -> Any:
    form = {"code": code, "code_verifier": VERIFIER, "redirect_uri": CALLBACK}
    return exchange(grant_type="authorization_code", **{**form, **changes})


def login(client: Client) -> dict[str, Any]:
    answer = spend(code_for(client))
    assert answer.status_code == 200, answer.content
    return answer.json()


def refresh(token: str) -> Any:
    return exchange(grant_type="refresh_token", refresh_token=token)


def who(token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return Client(headers=headers).get("/v1/users/self").status_code


def test_a_program_signs_in_as_the_cli_does_it(bob, organization, deployment, client_of):
    config = Client().get("/private/v1alpha1/cli/auth-config").json()
    assert config["domainUrl"].endswith("/login/")
    assert config["clientId"] == "astro-cli"

    page = client_of(bob).get(wanted()).content.decode()
    assert "Sign in Astro CLI?" in page
    assert "bob@example.org" in page
    made = login(client_of(bob))

    assert made["expires_in"] == 3600
    program = Program(made["access_token"], organization)
    said = program.client.get("/login/userinfo").json()
    assert said["email"] == "bob@example.org"
    (found,) = program.get("/v1/organizations").json()["organizations"]
    assert found["name"] == organization.name
    assert program.get("/deployments").json()["totalCount"] == 1
    (one,) = logins_of(user=bob)
    assert (one.program, one.address) == ("astro-cli/1.45.0", "127.0.0.1")
    event = AuditEvent.objects.get(action="program.signed_in")
    assert (event.actor, event.organization_id) == (bob, organization.pk)
    assert made["access_token"] not in str(event.changes)


def test_it_reaches_every_organization_of_its_person_and_no_other(
    bob, charlie, organization, deployment, client_of
):
    second = Organization.objects.create(name="Second", slug="second")
    put_role(bob, role("organization", "member"), second)
    token = login(client_of(bob))["access_token"]
    elsewhere = charlie.organizationgrant_set.get().content_object

    listed = Program(token, second).get("/v1/organizations").json()["organizations"]

    assert {one["name"] for one in listed} == {"Nordhavn Logistics", "Second"}
    assert Program(token, organization).get("/deployments").json()["totalCount"] == 1
    assert Program(token, second).get("/deployments").json()["totalCount"] == 0
    assert Program(token, elsewhere).get("").status_code == 404
    path = Program(token, organization).get("/deployments").json()["deployments"][0]["id"]
    assert Program(token, second).get(f"/deployments/{path}").status_code == 404


def test_a_login_goes_on_with_its_refresh_token_once_each(bob, client_of):
    first = login(client_of(bob))

    second = refresh(first["refresh_token"]).json()

    assert who(second["access_token"]) == 200
    assert refresh(first["refresh_token"]).status_code == 400
    assert len(logins_of(user=bob)) == 1
    assert AuditEvent.objects.filter(action="program.signed_in").count() == 1


def test_a_code_works_once_and_for_its_program_alone(bob, client_of):
    code = code_for(client_of(bob))
    assert spend(code, code_verifier="w" * 43).status_code == 400
    code = code_for(client_of(bob))
    assert spend(code, redirect_uri="http://127.0.0.1/callback").status_code == 400
    assert spend(code, client_id="other").status_code in (400, 401)
    code = code_for(client_of(bob))
    assert spend(code).status_code == 200
    assert spend(code).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://localhost:12345/other"},
        {"redirect_uri": "http://localhost.evil.example:12345/callback"},
        {"redirect_uri": "http://evil@localhost.example/callback"},
        {"redirect_uri": ""},
        {"client_id": "another-program"},
        {"client_id": "\u0000"},
    ],
)
def test_nothing_is_sent_elsewhere(bob, client_of, changes):
    answer = client_of(bob).get(wanted(**changes))

    assert answer.status_code in (200, 400)
    assert "Location" not in answer
    assert b"evil" not in answer.content
    assert answer.status_code == 400 or b"cannot be signed in" in answer.content


def test_without_a_challenge_there_is_no_code(bob, client_of):
    answer = client_of(bob).get(wanted(code_challenge="", code_challenge_method=""))

    target = answer.context["url"]
    assert parse_qs(urlsplit(target).query)["error"] == ["invalid_request"]


def test_a_person_denies(bob, client_of):
    assert allow(client_of(bob), wanted(state="s1"), "cancel") == {
        "error": ["access_denied"],
        "state": ["s1"],
    }
    assert not Token.objects.exists()


def test_a_page_of_another_origin_allows_nothing(bob, client_of):
    client = client_of(bob)
    client.handler.enforce_csrf_checks = True
    page = client.get(wanted())
    form = {"request": page.context["form"]["request"].value(), "action": "grant"}

    assert client.post("/login/authorize", {**form, "scopes": "portal"}).status_code == 403
    assert "form-action" in page["Content-Security-Policy"]
    assert page["X-Frame-Options"] == "DENY"


def test_who_is_not_signed_in_is_asked_to_first(db):
    answer = Client().get(wanted())

    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=/login/authorize%3F")


def test_a_login_ends_with_the_account_the_password_and_the_policy(bob, alice, client_of):
    def fresh() -> dict[str, Any]:
        return login(client_of(bob))

    made = fresh()
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert (who(made["access_token"]), refresh(made["refresh_token"]).status_code) == (401, 400)
    User.objects.filter(pk=bob.pk).update(is_active=True)

    made = fresh()
    end_logins_at(domain="elsewhere.org")
    assert who(made["access_token"]) == 200
    end_logins_at(domain="example.org")
    assert (who(made["access_token"]), refresh(made["refresh_token"]).status_code) == (401, 400)

    made = fresh()
    bob.set_password("another long password")
    bob.save(update_fields=["password"])
    assert (who(made["access_token"]), refresh(made["refresh_token"]).status_code) == (401, 400)

    made = fresh()
    factor = Authenticator.objects.create(user=bob, type=Authenticator.Type.TOTP, data={})
    authenticator_added.send(sender=Authenticator, request=None, user=bob, authenticator=factor)
    assert (who(made["access_token"]), refresh(made["refresh_token"]).status_code) == (401, 400)


def test_a_closed_account_is_refused_a_new_code(bob, client_of):
    code = code_for(client_of(bob))

    deactivate_person(user=bob)

    assert spend(code).status_code == 400


def test_a_login_ends_in_time_however_often_it_is_renewed(bob, client_of):
    made = login(client_of(bob))
    long_ago = (timezone.now() - LONGEST - timedelta(minutes=1)).isoformat()
    for row in Token.objects.all():
        row.data["began_at"] = long_ago
        row.save()

    answer = refresh(made["refresh_token"])

    assert answer.status_code == 400
    assert "has ended" in answer.json()["error_description"]
    assert not Token.objects.exists()


def test_people_sign_out_their_own_programs_alone(bob, alice, client_of):
    made = login(client_of(bob))
    page = client_of(bob).get("/account/tokens/")
    (one,) = page.context["programs"]
    assert "astro-cli/1.45.0" in page.content.decode()

    stranger = client_of(alice).post(f"/account/programs/{one.id}/end/")
    assert (stranger.status_code, who(made["access_token"])) == (404, 200)
    client_of(bob).post(f"/account/programs/{one.id}/end/")

    assert (who(made["access_token"]), refresh(made["refresh_token"]).status_code) == (401, 400)
    assert AuditEvent.objects.filter(action="program.signed_out").count() == 1


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_a_program_signs_itself_out_by_either_token(bob, client_of, which):
    made = login(client_of(bob))

    answers = [
        post("/login/oauth/revoke", token=one).status_code for one in ("nothing", made[which])
    ]

    assert answers == [200, 200]
    assert not Token.objects.exists()


def test_a_machine_without_a_browser_shows_a_code(bob, client_of):
    begun = post("/login/device/code", client_id="astro-cli").json()
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": begun["device_code"],
    }
    assert exchange(**form).json()["error"] == "authorization_pending"
    client = client_of(bob)

    page = client.get("/login/device", {"code": begun["user_code"]})
    assert begun["user_code"] in page.content.decode()
    address = re.search(r'action="(/login/device\?[^"]+)"', page.content.decode())
    assert address
    client.post(address[1], {"action": "confirm"})
    cache_key = f"allauth.idp.oidc.device_code[{begun['device_code']}]"
    cache.set(cache_key, {**cache.get(cache_key), "last_poll_at": 0})
    made = exchange(**form).json()

    assert who(made["access_token"]) == 200
    assert exchange(**form).status_code == 400


def confirmed_machine(client: Client) -> dict[str, str]:
    """Begin the sign-in of a machine and confirm it; return what it then sends."""
    begun = post("/login/device/code", client_id="astro-cli").json()
    address = f"/login/device?{urlencode({'code': begun['user_code']})}"
    assert client.post(address, {"action": "confirm"}).status_code == 200
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": begun["device_code"],
    }


@pytest.mark.parametrize("how", ["password", "second factor"])
def test_what_was_allowed_before_the_account_was_taken_back_is_refused(bob, client_of, how):
    """An intruder allows a program, and lets it take its token after the password is another."""
    code, machine = code_for(client_of(bob)), confirmed_machine(client_of(bob))

    if how == "password":
        bob.set_password("another long password")
        bob.save(update_fields=["password"])
    else:
        Authenticator.objects.create(user=bob, type=Authenticator.Type.TOTP, data={})

    assert spend(code).status_code == 400
    assert exchange(**machine).json()["error"] == "access_denied"
    assert not Token.objects.exists()


def test_a_machine_that_was_confirmed_gets_its_token_at_once(bob, client_of):
    assert who(exchange(**confirmed_machine(client_of(bob))).json()["access_token"]) == 200


def test_a_wrong_code_is_refused_and_guessing_is_slow(bob, client_of):
    client = client_of(bob)

    pages = [client.get("/login/device", {"code": f"WRONG-{n}"}) for n in range(7)]

    assert {page.status_code for page in pages} == {200}
    assert "too many requests" in pages[-1].content.decode()


def test_what_has_expired_is_removed(bob, client_of):
    login(client_of(bob))
    Token.objects.filter(type="at").update(expires_at=timezone.now() - timedelta(seconds=1))

    assert remove_expired() == 1
    assert Token.objects.count() == 1


def test_an_address_that_begins_many_sign_ins_has_to_wait(db):
    answers = [post("/login/device/code", client_id="astro-cli").status_code for _ in range(11)]

    assert answers == [200] * 10 + [429]
