"""Somebody without a password here confirms who they are at their identity provider."""

import base64
import time
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from lxml import etree

from apps.access.grants.services import grant
from apps.accounts.models import User
from apps.accounts.sessions.services import SIGNED_IN_AT
from apps.organizations.models import Organization
from apps.sso.models import Domain, SSOConnection
from tests.conftest import role
from tests.sso import identity_provider
from tests.sso.conftest import Browser, way_out, words_of

pytestmark = pytest.mark.django_db
HOUR = 3600


@pytest.fixture
def dana(browser: Browser, organization: Organization) -> User:
    """An owner who came through single sign-on, an hour ago."""
    browser.sign_in()
    person = User.objects.get(email="dana@nordhavn.test")
    grant(actor=None, user=person, role=role("organization", "owner"), on=organization)
    browser.client.get(reverse("accounts:profile"))
    _an_hour_passes(browser.client)
    return person


def _an_hour_passes(client: Client) -> None:
    session = client.session
    session[SIGNED_IN_AT] = time.time() - HOUR
    session.save()


def _leave_to_confirm(browser: Browser, after: str) -> str:
    """Go on to the identity provider; return the address that the browser is sent to."""
    url = reverse("sso:confirm_at", args=[browser.connection.key])
    return way_out(browser.client.post(url, {"next": after}))


def _confirm(browser: Browser, after: str, **changes: Any) -> Any:
    asked = identity_provider.request_id(_leave_to_confirm(browser, after))
    return browser.come_back(identity_provider.answer(base=browser.base, asked=asked, **changes))


def test_a_change_waits_for_the_identity_provider_and_is_done_then(
    browser: Browser, dana: User, bob: User, organization: Organization
) -> None:
    page = reverse("organizations:member", args=[organization.slug, bob.pk])

    asked = browser.client.post(page, {"role": "owner"})
    shown = browser.client.get(asked["Location"])
    before = bob.has_perm("organization.update", organization)
    back = _confirm(browser, page)
    browser.client.get(back["Location"])

    assert asked["Location"].startswith(reverse("sso:confirm"))
    assert "Continue with Nordhavn" in words_of(shown)
    assert not before
    assert User.objects.get(pk=bob.pk).has_perm("organization.update", organization)


def test_the_identity_provider_is_to_ask_although_it_remembers(
    browser: Browser, dana: User
) -> None:
    url = _leave_to_confirm(browser, "/")

    packed = parse_qs(urlsplit(url).query)["SAMLRequest"][0]
    request = etree.fromstring(zlib.decompress(base64.b64decode(packed), -15))
    assert request.get("ForceAuthn") == "true"


@pytest.mark.parametrize("seconds", [-3 * 24 * HOUR, -120, HOUR])
def test_a_sign_in_there_of_long_ago_confirms_nothing(
    browser: Browser, dana: User, seconds: int
) -> None:
    answer = _confirm(browser, "/", authenticated=seconds)

    assert "did not ask again who you are" in words_of(answer)
    asked = browser.client.get(reverse("account_set_password"))
    assert asked["Location"].startswith(reverse("sso:confirm"))


def test_a_connection_that_does_not_reach_somebody_confirms_nothing(
    browser: Browser, dana: User
) -> None:
    User.objects.filter(pk=dana.pk).update(is_operator=True)

    answer = _confirm(browser, "/")

    assert answer.status_code == 403
    asked = browser.client.get(reverse("account_set_password"))
    assert asked["Location"].startswith(reverse("sso:confirm"))


def test_somebody_else_confirms_nothing(browser: Browser, dana: User) -> None:
    attributes = {"mail": "eve@nordhavn.test", "displayName": "Eve"}

    answer = _confirm(browser, "/", subject="7002", attributes=attributes)

    assert answer.status_code == 403
    assert "signed in another person" in words_of(answer)
    assert browser.user_id == str(dana.pk)
    assert not User.objects.filter(email="eve@nordhavn.test").exists()
    asked = browser.client.get(reverse("account_set_password"))
    assert asked["Location"].startswith(reverse("sso:confirm"))


def test_a_sign_in_with_another_browsers_answer_confirms_nothing(
    browser: Browser, dana: User, new_browser: Callable[[], Browser]
) -> None:
    asked = identity_provider.request_id(_leave_to_confirm(browser, "/"))

    other = new_browser()
    answer = other.come_back(identity_provider.answer(base=other.base, asked=asked))

    assert answer.status_code == 400
    assert other.user_id is None


@pytest.mark.parametrize("page", ["account_set_password", "mfa_activate_totp", "mfa_add_webauthn"])
def test_a_new_way_to_sign_in_needs_a_fresh_one(browser: Browser, dana: User, page: str) -> None:
    url = reverse(page)

    shown, sent = browser.client.get(url), browser.client.post(url, {"password1": "x"})
    _confirm(browser, url)
    after = browser.client.get(url)

    assert shown["Location"].startswith(reverse("sso:confirm"))
    assert sent["Location"] == url
    assert any("confirm it’s you" in str(one) for one in get_messages(sent.wsgi_request))
    assert "password1" not in str(dict(browser.client.session))
    assert after.status_code == 200


def test_a_person_with_a_password_is_asked_for_that_first(browser: Browser, dana: User) -> None:
    dana.set_password("a long enough passphrase")
    dana.save()
    browser.client.force_login(dana)
    _an_hour_passes(browser.client)

    asked = browser.client.get(reverse("account_set_password"))
    shown = browser.client.get(reverse("account_reauthenticate"))

    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    assert "Use single sign-on" in words_of(shown)


def test_a_password_that_signs_nobody_in_confirms_nobody(
    browser: Browser, dana: User, domain: Domain
) -> None:
    dana.set_password("a long enough passphrase")
    dana.save()
    browser.client.force_login(dana)
    _an_hour_passes(browser.client)
    Domain.objects.update(is_enforced=True)

    typed = {"password": "a long enough passphrase"}
    tried = browser.client.post(reverse("account_reauthenticate"), typed)
    asked = browser.client.get(reverse("account_set_password"))

    assert tried.status_code in (302, 403)
    assert asked["Location"].startswith(reverse("sso:confirm"))


def test_without_a_connection_the_page_says_what_to_do(
    browser: Browser, dana: User, saml: SSOConnection
) -> None:
    SSOConnection.objects.update(is_enabled=False)

    shown = browser.client.get(reverse("sso:confirm"))
    left = browser.client.post(reverse("sso:confirm_at", args=[saml.key]))

    assert "Sign out, sign in again" in words_of(shown)
    assert left.status_code == 404


def test_a_connection_of_others_confirms_nobody(
    browser: Browser, dana: User, alice: User, saml: SSOConnection
) -> None:
    browser.client.force_login(alice)

    assert browser.client.post(reverse("sso:confirm_at", args=[saml.key])).status_code == 404
