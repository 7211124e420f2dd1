"""Authenticator apps, recovery codes and passkeys, through real requests."""

import base64
import re
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from allauth.mfa.webauthn.internal.auth import WebAuthn
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.sessions.services import SIGNED_IN_AT
from apps.core.encryption.crypto import KeyRing, key_id_of
from tests.conftest import PASSWORD
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PAGES = [
    "mfa_index",
    "mfa_activate_totp",
    "mfa_generate_recovery_codes",
    "mfa_add_webauthn",
    "accounts:sessions",
]


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def sign_in(client: Client, person: User) -> Any:
    return client.post(reverse("account_login"), {"login": person.email, "password": PASSWORD})


def age(client: Client, seconds: float) -> None:
    session = client.session
    session[SIGNED_IN_AT] = time.time() - seconds
    session.save()


@pytest.fixture
def with_app(bob: User) -> User:
    TOTP.activate(bob, SECRET)
    RecoveryCodes.activate(bob)
    return bob


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_second_factors_are_sound(name: str, bob: User, client_of: ClientOf) -> None:
    response = client_of(bob).get(reverse(name))

    assert response.status_code == 200
    check_page(response.content.decode())


def test_a_person_sets_up_an_app_and_is_shown_recovery_codes_once(
    bob: User, client_of: ClientOf
) -> None:
    client = client_of(bob)
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert secret is not None

    answer = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret[1])}, follow=True)
    again = client.get(reverse("mfa_view_recovery_codes"))

    shown = answer.content.decode()
    check_page(shown)
    code = re.compile(r"^(?:.*<code>)?\d{8}$", re.MULTILINE)
    assert len(code.findall(shown)) == 10
    assert not code.findall(again.content.decode())
    assert "no-store" in again["Cache-Control"]


def test_a_wrong_code_turns_nothing_on(bob: User, client_of: ClientOf) -> None:
    client = client_of(bob)
    client.get(reverse("mfa_activate_totp"))

    response = client.post(reverse("mfa_activate_totp"), {"code": "000000"})

    assert "Incorrect code" in response.content.decode()
    assert not Authenticator.objects.exists()


def test_the_qr_code_needs_no_other_content_policy(bob: User, client_of: ClientOf) -> None:
    response = client_of(bob).get(reverse("mfa_activate_totp"))

    assert '<svg class="qr" role="img"' in response.content.decode()
    assert "data:" not in response["Content-Security-Policy"]


def test_the_password_alone_no_longer_signs_in(with_app: User, client: Client) -> None:
    answer = sign_in(client, with_app)

    assert answer["Location"] == reverse("mfa_authenticate")
    page = client.get(answer["Location"]).content.decode()
    check_page(page)
    assert re.search(r'<input[^>]*name="code"[^>]* autofocus', page)
    assert client.get("/account/").status_code == 302


def test_password_and_code_sign_in_and_no_code_works_twice(with_app: User, client: Client) -> None:
    other = Client()
    sign_in(client, with_app)
    sign_in(other, with_app)
    code = code_of(SECRET)

    client.post(reverse("mfa_authenticate"), {"code": code})
    other.post(reverse("mfa_authenticate"), {"code": code})

    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302


def test_a_sign_in_that_began_with_the_old_password_does_not_end(
    with_app: User, client: Client
) -> None:
    sign_in(client, with_app)
    with_app.set_password("another horse battery")
    with_app.save(update_fields=["password"])

    answer = client.post(reverse("mfa_authenticate"), {"code": code_of(SECRET)})

    assert answer["Location"] == reverse("account_login")
    assert client.get("/account/").status_code == 302


def test_a_recovery_code_signs_in_once(with_app: User, client: Client) -> None:
    other = Client()
    row = Authenticator.objects.get(user=with_app, type="recovery_codes")
    code = row.wrap().get_unused_codes()[3]

    for one in (client, other):
        sign_in(one, with_app)
        one.post(reverse("mfa_authenticate"), {"code": code})

    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302


def test_the_second_step_is_closed_to_who_did_not_do_the_first(client: Client) -> None:
    response = client.get(reverse("mfa_authenticate"))

    assert response["Location"] == reverse("account_login")


@pytest.mark.parametrize(
    "name", ["mfa_activate_totp", "mfa_generate_recovery_codes", "mfa_add_webauthn"]
)
def test_second_factors_are_changed_after_a_fresh_sign_in_only(
    name: str, bob: User, client_of: ClientOf
) -> None:
    client = client_of(bob)
    age(client, 3600)

    response = client.get(reverse(name))

    assert response["Location"].startswith(reverse("account_reauthenticate"))


def test_an_app_is_turned_off_after_confirming_with_its_code(
    with_app: User, client_of: ClientOf
) -> None:
    client = client_of(with_app)
    age(client, 3600)
    off = reverse("mfa_deactivate_totp")

    asked = client.get(off)
    confirm = client.get(asked["Location"]).content.decode()
    answers = {"code": code_of(SECRET), "next": off}
    client.post(reverse("mfa_reauthenticate"), answers)
    client.post(off)

    check_page(confirm)
    assert "Use authenticator app" in confirm
    assert not Authenticator.objects.exists()


def test_a_wrong_code_confirms_nothing(with_app: User, client_of: ClientOf) -> None:
    client = client_of(with_app)
    age(client, 3600)

    client.post(reverse("mfa_reauthenticate"), {"code": "000000"})
    client.post(reverse("mfa_deactivate_totp"))

    assert Authenticator.objects.filter(type="totp").exists()


@pytest.mark.parametrize("name", ["mfa_edit_webauthn", "mfa_remove_webauthn"])
def test_nobody_touches_the_passkey_of_another(
    name: str, alice: User, bob: User, client_of: ClientOf
) -> None:
    passkey = WebAuthn.add(alice, "Alice's", {}).instance

    response = client_of(bob).post(reverse(name, args=[passkey.pk]), {"name": "Bob's"})

    assert response.status_code == 404
    passkey.refresh_from_db()
    assert passkey.data["name"] == "Alice's"


@pytest.mark.parametrize("credential", ["", "{", "{}", '{"response": {"userHandle": "!"}}', "[]"])
def test_a_made_up_passkey_does_not_sign_in(credential: str, client: Client, bob: User) -> None:
    client.get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"})

    response = client.post(reverse("mfa_login_webauthn"), {"credential": credential})

    assert response["Location"] == reverse("account_login")
    assert client.get("/account/").status_code == 302


@pytest.mark.parametrize("host", ["127.0.0.1", "other.example.org", "localhost:1"])
def test_passkeys_are_for_the_address_of_the_portal_whatever_a_client_writes(
    client: Client, bob: User, client_of: ClientOf, settings: Any, host: str
) -> None:
    settings.PORTAL_URL, settings.ALLOWED_HOSTS = "https://portal.example.org:8443", ["*"]
    asks = {"accept": "application/json", "host": host}

    signing_in = client.get(reverse("mfa_login_webauthn"), headers=asks).json()
    adding = client_of(bob).get(reverse("mfa_add_webauthn"), headers=asks).content.decode()

    assert signing_in["request_options"]["publicKey"]["rpId"] == "portal.example.org"
    assert re.search(r'"rp": {[^}]*"id": "portal\.example\.org"', adding)


def test_secrets_are_sealed_at_rest(with_app: User) -> None:
    for row in Authenticator.objects.filter(user=with_app):
        sealed = base64.b64decode(row.data.get("secret") or row.data["seed"])

        assert key_id_of(sealed) == "t1"
        assert SECRET not in str(row.data)


def test_a_new_key_takes_over_second_factors_as_well(
    with_app: User, client: Client, settings: Any
) -> None:
    keys = {"t1": b"0" * 32, "t2": b"1" * 32}
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys=keys)
    out = StringIO()

    call_command("rotate_encryption_key", stdout=out)
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": b"1" * 32})
    call_command("check_keys")
    sign_in(client, with_app)
    client.post(reverse("mfa_authenticate"), {"code": code_of(SECRET)})

    assert out.getvalue().startswith("2 secrets")
    assert client.get("/account/").status_code == 200


def test_a_lost_key_is_named_before_anything_starts(with_app: User, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": b"1" * 32})

    with pytest.raises(CommandError, match="t1"):
        call_command("check_keys")
