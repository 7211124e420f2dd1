"""What a client says of the portal's host reaches no mail, no page and no redirect."""

import re

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.core.web.own_addresses import is_own_address
from tests.conftest import PASSWORD, role
from tests.organizations.test_second_factor_events import SECRET, activate

pytestmark = pytest.mark.django_db
FORGED = {"HTTP_HOST": "localhost:6666", "HTTP_X_FORWARDED_HOST": "evil.example:6666"}


def test_no_mail_names_the_host_that_a_client_sends(
    alice, bob, organization, client_of, django_capture_on_commit_callbacks
):
    browser = Client(**FORGED)
    person = client_of(bob)
    person.defaults.update(FORGED)
    with django_capture_on_commit_callbacks(execute=True):
        browser.post(reverse("account_reset_password"), {"email": bob.email})
        activate(person)
        TOTP.activate(alice, SECRET)
        person.post(
            reverse("account_change_password"),
            {
                "oldpassword": PASSWORD,
                "password1": "another horse battery",
                "password2": "another horse battery",
            },
        )
        owner = client_of(alice)
        owner.defaults.update(FORGED)
        owner.post("/o/nordhavn/members/invite/", {"email": "d@example.org", "role": "member"})
        browser.post(reverse("account_reset_password"), {"email": "unknown@example.org"})
    key = re.search(r"(/accounts/password/reset/key/\S+)", mail.outbox[0].body)
    with django_capture_on_commit_callbacks(execute=True):
        browser.post(reverse("account_reset_password"), {"email": alice.email})
        link = re.search(r"(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)[1]
        page = browser.get(link, follow=True, **FORGED)
        answers = {"password1": "yet another horse", "password2": "yet another horse"}
        browser.post(page.request["PATH_INFO"], answers)

    texts = [f"{one.subject} {one.from_email} {one.body}" for one in mail.outbox]
    assert key is not None
    assert len(texts) >= 7
    assert not [text for text in texts if ":6666" in text or "evil.example" in text]
    assert settings.PORTAL_URL + "/accounts/password/reset/key/" in texts[0]


def test_the_command_that_tries_a_token_names_the_portal(alice, workspace, client_of):
    response = client_of(alice).post(
        "/w/warehouse/tokens/new/",
        {"name": "ci", "role": role("workspace", "member").key, "until": "month"},
        **FORGED,
    )

    assert settings.PORTAL_URL + reverse("api:operations:get_self") in response.content.decode()
    assert ":6666" not in response.content.decode()


def test_a_machine_without_a_browser_is_sent_to_the_portal(bob, client_of):
    form = "application/x-www-form-urlencoded"

    begun = Client(**FORGED).post("/login/device/code", "client_id=astro-cli", form).json()

    page = settings.PORTAL_URL + "/login/device"
    assert begun["verification_uri"] == page
    assert begun["verification_uri_complete"] == f"{page}?code={begun['user_code']}"


def test_wrong_passwords_are_counted_per_account_whatever_host_is_named(bob, settings):
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "3/5m/key"}

    answers = [
        Client(HTTP_HOST=f"localhost:{1000 + number}")
        .post("/accounts/login/", {"login": bob.email, "password": "wrong"})
        .content.decode()
        for number in range(5)
    ]

    assert "Too many" in answers[-1]


@pytest.mark.parametrize(
    "url",
    ["/", "/o/nordhavn/", "/d/etl/?tab=logs#x", f"{settings.PORTAL_URL}/account/", "?dialog=x"],
)
def test_pages_of_this_portal_are_its_own(url: str):
    assert is_own_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "//evil.example/",
        "https://evil.example/",
        "http://localhost:6666/",
        "javascript:alert(1)",
        "/../x",
        "/%2e%2e/x",
        "/%252e%252e/x",
        "/a/%25252e%25252e/x",
        "/%2Fevil.example/",
        "/%5cevil.example",
        "/\\evil.example",
        "/%00",
        "/%0d%0aSet-Cookie: a=b",
        "/" + "a" * 3000,
        "/é",
    ],
)
def test_others_are_not(url: str):
    assert not is_own_address(url)


@pytest.mark.parametrize("hop", ["/%252e%252e//evil.example", "http://localhost:6666/"])
def test_signing_in_goes_on_to_no_other_page(bob, hop):
    response = Client(**FORGED).post(
        "/accounts/login/", {"login": bob.email, "password": PASSWORD, "next": hop}
    )

    assert response.status_code == 302
    assert response["Location"] == "/"
