"""Attempts are counted per account and per address, with the limits of the product."""

from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client, RequestFactory

from apps.accounts.models import User
from apps.core.web.middleware import client_address
from tests.conftest import PASSWORD, make_user

WRONG = "not the password"
TOO_MANY = "Too many failed login attempts"


@pytest.fixture(autouse=True)
def _limits_of_the_product(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {}


def signs_in(user: User, password: str = WRONG, **headers: str) -> Any:
    client = Client()
    answer = client.post("/accounts/login/", {"login": user.email, "password": password}, **headers)
    return "_auth_user_id" in client.session, answer.content.decode(), answer.status_code


def test_an_account_takes_five_wrong_passwords_wherever_they_come_from(bob, charlie):
    for number in range(5):
        signs_in(bob, REMOTE_ADDR=f"192.0.2.{number}")

    is_in, page, _ = signs_in(bob, PASSWORD, REMOTE_ADDR="192.0.2.99")

    assert not is_in
    assert TOO_MANY in page
    assert signs_in(charlie, PASSWORD, REMOTE_ADDR="192.0.2.0")[0]


def test_an_address_has_ten_wrong_passwords_in_a_minute_whosever_they_are(bob):
    for number in range(10):
        signs_in(make_user(f"Guest{number}"), REMOTE_ADDR="192.0.2.1")

    is_in, page, _ = signs_in(bob, PASSWORD, REMOTE_ADDR="192.0.2.1")

    assert not is_in
    assert TOO_MANY in page
    assert signs_in(bob, PASSWORD, REMOTE_ADDR="192.0.2.2")[0]


@pytest.mark.parametrize(("proxies", "counted"), [(1, "198.51.100.7"), (0, "127.0.0.1")])
def test_nobody_gets_more_attempts_by_writing_addresses_into_a_header(
    bob, settings, proxies, counted
):
    settings.TRUSTED_PROXY_COUNT = proxies
    for number in range(10):
        sent = f"203.0.113.{number}, 198.51.100.7"
        signs_in(make_user(f"Guest{number}"), HTTP_X_FORWARDED_FOR=sent)

    is_in, page, _ = signs_in(bob, PASSWORD, HTTP_X_FORWARDED_FOR="203.0.113.200, 198.51.100.7")

    assert not is_in
    assert TOO_MANY in page
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR="203.0.113.1, 198.51.100.7")
    assert client_address(request) == counted


def test_people_behind_a_proxy_are_told_apart(bob, settings):
    settings.TRUSTED_PROXY_COUNT = 1
    for number in range(10):
        signs_in(make_user(f"Guest{number}"), HTTP_X_FORWARDED_FOR="198.51.100.7")

    assert signs_in(bob, PASSWORD, HTTP_X_FORWARDED_FOR="198.51.100.8")[0]


def test_a_request_that_passed_fewer_proxies_than_there_should_be_is_no_error(bob, settings):
    settings.TRUSTED_PROXY_COUNT = 2

    is_in, _, status = signs_in(bob, HTTP_X_FORWARDED_FOR="198.51.100.7")

    assert (is_in, status) == (False, 200)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]"', "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", "127.0.0.1"),
        ("_hidden:1", "127.0.0.1"),
        ("1.2.3.4.5:1", "127.0.0.1"),
    ],
)
def test_people_sign_in_however_a_proxy_writes_their_address(bob, settings, said, address):
    """A session keeps it in a column that holds nothing but addresses."""
    settings.TRUSTED_PROXY_COUNT = 1

    is_in, _, _ = signs_in(bob, PASSWORD, HTTP_X_FORWARDED_FOR=said)

    assert is_in
    assert UserSession.objects.get(user=bob).ip == address
