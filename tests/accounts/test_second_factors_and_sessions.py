"""How long sessions live, who ends them, and when a sign-in is fresh enough."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.sessions.services import (
    SEEN_AT,
    SIGNED_IN_AT,
    browser_name,
    end_sessions,
    signed_in_lately,
    why_over,
)
from apps.organizations.models import Organization
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
NOW = 1_800_000_000.0
HOUR, DAY = 3600, 86_400


def session_at(*, began: float, seen: float) -> dict[str, float]:
    return {SIGNED_IN_AT: NOW - began, SEEN_AT: NOW - seen}


def move(client: Client, **moments: float) -> None:
    session = client.session
    session.update(moments)
    session.save()


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ({}, ""),
        (session_at(began=10, seen=10), ""),
        (session_at(began=13 * DAY, seen=11 * HOUR), ""),
        (session_at(began=DAY, seen=12 * HOUR), "hours of inactivity"),
        (session_at(began=14 * DAY, seen=0), "14 days"),
        ({SIGNED_IN_AT: NOW - DAY}, "hours of inactivity"),
    ],
)
def test_a_session_ends_by_both_limits(session: dict[str, float], words: str) -> None:
    reason = why_over(session, now=NOW)

    assert words in reason
    assert bool(reason) == bool(words)


def test_limits_are_settings(settings: Any) -> None:
    settings.SESSION_IDLE_LIMIT = timedelta(hours=1)

    assert why_over(session_at(began=DAY, seen=HOUR), now=NOW)


@pytest.mark.parametrize(("age", "is_fresh"), [(0, True), (899, True), (900, False)])
def test_a_sign_in_is_fresh_for_a_quarter_of_an_hour(age: float, is_fresh: bool) -> None:
    assert signed_in_lately(session_at(began=age, seen=0), now=NOW) is is_fresh


def test_a_session_that_is_over_leads_to_sign_in_and_says_why(
    bob: User, client_of: ClientOf
) -> None:
    client = client_of(bob)
    client.get("/account/")
    move(client, **{SEEN_AT: time.time() - 13 * HOUR})

    response = client.get("/account/")

    assert response["Location"].startswith(reverse("account_login"))
    said = [str(one) for one in get_messages(response.wsgi_request)]
    assert any("hours of inactivity" in one for one in said)
    assert not UserSession.objects.exists()


def test_use_moves_the_idle_limit_and_a_polling_card_does_not(
    bob: User, client_of: ClientOf
) -> None:
    client = client_of(bob)
    client.get("/account/")
    early = time.time() - HOUR
    move(client, **{SEEN_AT: early})

    client.get("/account/", headers={"hx-request": "true"})
    polled = client.session[SEEN_AT]
    client.get("/account/")

    assert polled == early
    assert client.session[SEEN_AT] > early


def test_use_never_moves_the_absolute_limit(bob: User, client_of: ClientOf) -> None:
    client = client_of(bob)
    client.get("/account/")
    began = time.time() - 13 * DAY
    move(client, **{SIGNED_IN_AT: began, SEEN_AT: began + 12 * DAY + 20 * HOUR})

    client.get("/account/")

    assert client.session[SIGNED_IN_AT] == began


def test_signing_in_again_begins_anew(bob: User, client: Client) -> None:
    answers = {"login": bob.email, "password": PASSWORD}
    client.post(reverse("account_login"), answers)
    move(client, **{SIGNED_IN_AT: time.time() - 15 * DAY})
    client.get("/account/")

    client.post(reverse("account_login"), answers)

    assert client.get("/account/").status_code == 200


def test_a_person_sees_their_sessions_and_ends_one(bob: User, client_of: ClientOf) -> None:
    here, there = client_of(bob), client_of(bob)
    there.get("/account/", headers={"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/130.0"})
    page = here.get("/account/").client.get("/account/sessions/").content.decode()
    row = UserSession.objects.get(session_key=there.session.session_key)

    response = here.post(reverse("accounts:end_session", args=[row.pk]))

    assert "Firefox on Linux" in page
    assert response.status_code == 302
    assert there.get("/account/").status_code == 302
    assert here.get("/account/").status_code == 200


def test_a_person_ends_all_other_sessions(bob: User, client_of: ClientOf) -> None:
    here, *others = [client_of(bob) for _ in range(3)]
    for one in (here, *others):
        one.get("/account/")

    here.post(reverse("accounts:end_others"))

    assert [one.get("/account/").status_code for one in (here, *others)] == [200, 302, 302]


def test_nobody_ends_the_session_of_another(alice: User, bob: User, client_of: ClientOf) -> None:
    theirs = client_of(alice)
    theirs.get("/account/")
    row = UserSession.objects.get(user=alice)

    response = client_of(bob).post(reverse("accounts:end_session", args=[row.pk]))

    assert response.status_code == 404
    assert theirs.get("/account/").status_code == 200


def test_earlier_sessions_cost_a_sign_in_nothing(bob: User, client_of: ClientOf) -> None:
    answers = {"login": bob.email, "password": PASSWORD}

    def cost(client: Client) -> int:
        with CaptureQueriesContext(connection) as queries:
            client.post(reverse("account_login"), answers)
            client.get(reverse("accounts:sessions"))
        return len(queries)

    cost(Client())
    first = cost(Client())
    for _ in range(10):
        client_of(bob).get(reverse("accounts:profile"))

    assert cost(Client()) == first
    assert UserSession.objects.filter(user=bob).count() == 13


def test_a_service_ends_all_sessions_of_a_person(bob: User, client_of: ClientOf) -> None:
    client = client_of(bob)
    client.get("/account/")

    assert end_sessions(user=bob) == 1
    assert client.get("/account/").status_code == 302


def test_a_disabled_person_is_out_at_once(bob: User, client_of: ClientOf) -> None:
    client = client_of(bob)
    client.get("/account/")

    bob.is_active = False
    bob.save(update_fields=["is_active"])

    assert client.get("/account/").status_code == 302


def test_roles_change_after_confirming_and_the_change_is_not_lost(
    alice: User, bob: User, organization: Organization, client_of: ClientOf
) -> None:
    client = client_of(alice)
    client.get("/account/")
    move(client, **{SIGNED_IN_AT: time.time() - HOUR})
    page = reverse("organizations:member", args=[organization.slug, bob.pk])

    asked = client.post(page, {"role": "owner"})
    before = bob.has_perm("organization.update", organization)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": page})

    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    assert not before
    assert User.objects.get(pk=bob.pk).has_perm("organization.update", organization)


def test_a_wrong_password_changes_no_role(
    alice: User, bob: User, organization: Organization, client_of: ClientOf
) -> None:
    client = client_of(alice)
    client.get("/account/")
    move(client, **{SIGNED_IN_AT: time.time() - HOUR})
    page = reverse("organizations:member", args=[organization.slug, bob.pk])

    client.post(page, {"role": "owner"})
    client.post(reverse("account_reauthenticate"), {"password": "wrong", "next": page})
    client.get(page)

    assert not User.objects.get(pk=bob.pk).has_perm("organization.update", organization)


@pytest.mark.parametrize(
    ("says", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/142 Safari/537 Edg/142", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU like Mac OS X) Version/18 Safari/604", "Safari on iPhone"),
        ("curl/8", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_browsers_are_named(says: str, name: str) -> None:
    assert browser_name(says) == name


def test_who_has_no_password_is_offered_no_new_one(bob: User, client_of: ClientOf) -> None:
    offered = b"Change password"
    assert offered in client_of(bob).get(reverse("accounts:profile")).content

    bob.set_unusable_password()
    bob.save()

    assert offered not in client_of(bob).get(reverse("accounts:profile")).content
