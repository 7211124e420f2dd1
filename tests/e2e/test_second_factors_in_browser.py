"""Passkeys in a real browser with a virtual authenticator, and the pages of second factors."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.urls import reverse
from playwright.sync_api import Page

from apps.accounts.models import User
from tests.conftest import PASSWORD
from tests.e2e.browser import Inspector, new_context

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
OPTIONS = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Device:
    """The authenticator of the browser's machine."""

    def __init__(self, page: Page) -> None:
        self.wire = page.context.new_cdp_session(page)
        self.wire.send("WebAuthn.enable")
        added = self.wire.send("WebAuthn.addVirtualAuthenticator", {"options": OPTIONS})
        self.id = {"authenticatorId": added["authenticatorId"]}

    def is_refusing(self) -> None:
        self.wire.send("WebAuthn.setUserVerified", {**self.id, "isUserVerified": False})


@pytest.fixture
def inspector(browser: Any, live_server: Any) -> Iterator[Inspector]:
    context = new_context(browser, base_url=live_server.url)
    yield Inspector(context.new_page())
    context.close()


def sign_in(page: Page, person: User) -> None:
    page.goto(reverse("account_login"))
    page.get_by_label("Email address").fill(person.email)
    page.get_by_role("button", name="Continue", exact=True).click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def is_in(page: Page) -> None:
    page.locator("[aria-label^='Your account,']").first.wait_for()


def sign_out(page: Page) -> None:
    page.goto(reverse("account_logout"))
    page.locator("main").get_by_role("button", name="Sign out").click()


def add_passkey(page: Page, *, alone: bool) -> None:
    page.goto(reverse("mfa_add_webauthn"))
    page.get_by_label("Sign in without a password").set_checked(alone)
    page.get_by_role("button", name="Add passkey").click()
    page.get_by_role("heading", name="Recovery codes").wait_for()


def test_a_passkey_signs_in_without_a_password(inspector: Inspector, bob: User) -> None:
    page = inspector.page
    Device(page)
    sign_in(page, bob)

    add_passkey(page, alone=True)
    inspector.look()
    page.get_by_role("link", name="Done").click()
    inspector.look()
    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    is_in(page)

    assert Authenticator.objects.get(type="webauthn").user == bob
    assert inspector.problems == []


def test_a_passkey_is_the_second_factor_after_a_password(inspector: Inspector, bob: User) -> None:
    page = inspector.page
    Device(page)
    sign_in(page, bob)
    add_passkey(page, alone=False)
    sign_out(page)

    sign_in(page, bob)
    page.get_by_role("heading", name="Two-factor authentication").wait_for()
    inspector.look()
    page.get_by_role("button", name="Use a passkey").click()

    is_in(page)
    assert inspector.problems == []


def test_a_refused_passkey_says_what_to_do(inspector: Inspector, bob: User) -> None:
    page = inspector.page
    device = Device(page)
    sign_in(page, bob)
    add_passkey(page, alone=True)
    sign_out(page)

    device.is_refusing()
    page.get_by_role("button", name="Sign in with a passkey").click()

    page.get_by_role("alert").filter(has_text="No passkey was used").wait_for()
    assert inspector.problems == []


def test_an_app_is_set_up_and_asked_for(inspector: Inspector, bob: User) -> None:
    page = inspector.page
    sign_in(page, bob)

    page.goto(reverse("mfa_activate_totp"))
    secret = str(page.locator(".copy code").text_content())
    inspector.look()
    page.get_by_label("Authenticator code").fill(
        format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    )
    page.get_by_role("button", name="Enable").click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    recovery = str(page.locator(".command code").text_content()).split()[0]
    sign_out(page)
    sign_in(page, bob)
    page.get_by_label("Code").fill(recovery)
    page.get_by_role("button", name="Sign in").click()

    is_in(page)
    assert inspector.problems == []


def test_pages_of_second_factors_hold(inspector: Inspector, bob: User) -> None:
    sign_in(inspector.page, bob)
    for name in ("mfa_index", "mfa_add_webauthn", "accounts:sessions", "account_reauthenticate"):
        inspector.visit(reverse(name))

    TOTP.activate(bob, SECRET)
    for name in ("mfa_index", "mfa_deactivate_totp", "mfa_generate_recovery_codes"):
        inspector.visit(reverse(name))
    inspector.visit(reverse("mfa_reauthenticate"))

    assert inspector.problems == []
