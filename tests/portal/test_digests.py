"""The digest: asked for, sent at its hour, of what its person may see, and ended by one click."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.portal.digests.services import choose_digest, next_after, send_due
from apps.portal.models import Digest
from tests.alerts.examples import ended
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def due(user: User, period: str = "daily", at: datetime = NOW) -> Digest:
    return Digest.objects.create(user=user, period=period, hour=7, next_at=at)


def test_it_is_chosen_changed_and_ended_on_the_page_of_the_account(
    alice: User, client_of: Callable[[User], Client]
):
    client = client_of(alice)
    check_page(client.get("/account/digest/").content.decode())

    assert client.post("/account/digest/", {"period": "weekly", "hour": "6"}).status_code == 302
    found = Digest.objects.get()
    assert (found.user, found.period, found.hour) == (alice, "weekly", 6)
    assert found.next_at > timezone.now()
    assert "The next one leaves" in client.get("/account/digest/").content.decode()
    assert client.post("/account/digest/", {"period": "hourly", "hour": "25"}).status_code == 422
    client.post("/account/digest/", {"period": "", "hour": "6"})
    assert not Digest.objects.exists()


def test_it_has_what_failed_and_headers_that_end_it(alice: User, deployment: Deployment):
    ended(deployment, "orders & <b>", at=NOW - timedelta(hours=2))
    digest = due(alice)

    assert send_due(now=NOW) == 1
    assert send_due(now=NOW) == 0

    (message,) = mail.outbox
    assert message.to == [alice.email]
    assert "* orders & <b> in etl-prod: 1 time" in message.body
    assert "NEEDS ATTENTION" in message.body
    address = f"/digest/{digest.key}/end/"
    assert message.extra_headers["List-Unsubscribe"].endswith(f"{address}>")
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    anyone = Client(enforce_csrf_checks=True)
    check_page(anyone.get(address).content.decode())
    assert Digest.objects.exists(), "following a link ends nothing"
    assert anyone.post(address, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert not Digest.objects.exists()
    assert anyone.post(address).status_code == 200


def test_it_leaves_out_what_the_person_may_not_see(
    bob: User, charlie: User, deployment: Deployment
):
    ended(deployment, "secret_dag", at=NOW - timedelta(hours=1))
    due(charlie)
    bob.workspacegrant_set.all().delete()
    due(bob)

    assert send_due(now=NOW) == 0
    assert mail.outbox == []


def test_a_person_who_left_gets_none(alice: User, deployment: Deployment):
    alice.is_active = False
    alice.save()
    due(alice)

    assert send_due(now=NOW) == 0


def test_it_comes_at_the_hour_of_the_persons_clock_in_summer_and_in_winter(alice: User):
    alice.time_zone = "Europe/Copenhagen"
    daily = Digest(user=alice, period="daily", hour=7)
    weekly = Digest(user=alice, period="weekly", hour=7)
    night = Digest(user=alice, period="daily", hour=2)

    assert next_after(daily, NOW) == datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
    assert next_after(weekly, NOW) == datetime(2026, 11, 30, 6, 0, tzinfo=UTC)
    summer = datetime(2026, 7, 1, 5, 0, tzinfo=UTC)
    assert next_after(daily, summer) == datetime(2026, 7, 2, 5, 0, tzinfo=UTC)
    gap = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    assert next_after(night, gap) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_a_mail_server_that_is_away_is_tried_again(
    alice: User, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any) -> int:
        raise smtplib.SMTPServerDisconnected

    digest = due(alice)
    with monkeypatch.context() as patched:
        patched.setattr(EmailBackend, "send_messages", refuse)
        assert send_due(now=NOW) == 0
    digest.refresh_from_db()

    assert digest.next_at == NOW + timedelta(minutes=15)
    assert send_due(now=digest.next_at) == 1


def test_choosing_again_keeps_the_address_that_ends_it(alice: User):
    choose_digest(user=alice, period="daily", hour=7, now=NOW)
    key = Digest.objects.get().key

    choose_digest(user=alice, period="weekly", hour=8, now=NOW)

    assert Digest.objects.get().key == key
