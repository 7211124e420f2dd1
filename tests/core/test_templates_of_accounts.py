"""The pages of the sign-in library, drawn with our templates, through real requests."""

import re
from collections.abc import Callable

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from tests.conftest import PASSWORD
from tests.core.pages import check_page

SignIn = Callable[[User], Client]


@pytest.mark.parametrize(
    "name", ["account_login", "account_reset_password", "account_reset_password_done"]
)
def test_pages_before_sign_in_are_sound(name: str, client: Client, db: None) -> None:
    response = client.get(reverse(name))

    assert response.status_code == 200
    check_page(response.content.decode())


def test_a_wrong_password_says_so_and_keeps_the_address(client: Client, alice: User) -> None:
    response = client.post(reverse("account_login"), {"login": alice.email, "password": "wrong"})

    page = response.content.decode()
    check_page(page)
    assert "There is a problem" in page
    assert f'value="{alice.email}"' in page
    assert "<title>Error: Sign in" in page


def test_alice_signs_in_and_is_named_in_the_bar(client: Client, alice: User) -> None:
    client.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})

    page = client.get(reverse("account_change_password")).content.decode()

    check_page(page)
    assert 'aria-label="Your account,' in page
    assert alice.email in page
    assert f'action="{reverse("account_logout")}"' in page


def test_signing_out_asks_first_and_then_says_that_it_is_done(
    alice: User, client_of: SignIn
) -> None:
    client = client_of(alice)

    asked = client.get(reverse("account_logout"))
    done = client.post(reverse("account_logout"), follow=True)

    check_page(asked.content.decode())
    assert "You are signed out." in done.content.decode()


def test_a_password_is_reset_by_the_link_in_the_mail(client: Client, alice: User) -> None:
    client.post(reverse("account_reset_password"), {"email": alice.email})
    link = re.search(r"http://\S+", str(mail.outbox[0].body))
    assert link is not None
    path = "/" + link[0].split("/", 3)[3]

    form = client.get(path, follow=True)
    new = "a much better passphrase"
    done = client.post(
        form.redirect_chain[-1][0], {"password1": new, "password2": new}, follow=True
    )

    check_page(form.content.decode())
    assert "Password changed</h1>" in done.content.decode()
    alice.refresh_from_db()
    assert alice.check_password(new)


def test_a_used_link_says_how_to_get_a_new_one(client: Client, db: None) -> None:
    response = client.get(reverse("account_reset_password_from_key", args=["1", "spent-link"]))

    page = response.content.decode()
    check_page(page)
    assert "This link is no longer valid" in page


def test_an_address_without_an_account_learns_nothing_on_the_page(
    client: Client, alice: User
) -> None:
    known = client.post(reverse("account_reset_password"), {"email": alice.email}, follow=True)
    unknown = client.post(
        reverse("account_reset_password"), {"email": "no@example.org"}, follow=True
    )

    assert known.redirect_chain == unknown.redirect_chain


def test_a_weak_new_password_is_explained_at_its_field(alice: User, client_of: SignIn) -> None:
    answers = {"oldpassword": PASSWORD, "password1": "short", "password2": "short"}

    page = client_of(alice).post(reverse("account_change_password"), answers).content.decode()

    check_page(page)
    assert 'href="#id_password1"' in page
