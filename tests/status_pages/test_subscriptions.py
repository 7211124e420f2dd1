"""Subscribing by e-mail, and the mails."""

import os
import re
import signal
import smtplib
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.organizations.models import Organization
from apps.status_pages.posting.services import post_update
from apps.status_pages.reports.models import Stage
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions import mailing, services
from apps.status_pages.subscriptions.links import subscription_url
from apps.status_pages.subscriptions.mailing import send_batch
from apps.status_pages.subscriptions.models import Mailing, Subscriber
from tests.alerts.mail_server import mail_server
from tests.core.pages import check_page
from tests.status_pages.examples import (
    MINUTE,
    NOW,
    make_component,
    make_page,
    make_report,
    make_subscriber,
)

pytestmark = pytest.mark.django_db
ASK = "/status/nordhavn/subscribe/"


@pytest.fixture
def page(organization: Any) -> StatusPage:
    return make_page(organization)


def link_in(text: str) -> str:
    return re.findall(r"https?://[^/]+(/status-mail/\S+)", text)[0]


def answered(client: Client, path: str, data: Any = None, status: int = 200) -> str:
    response = client.get(path) if data is None else client.post(path, data)
    assert response.status_code == status
    check_page(response.content.decode())
    return response.content.decode()


def ask(page: StatusPage, email: str = "ana@example.org", *, network: str = "a", now: Any) -> None:
    services.ask(page=page, email=email, component_keys=(), network=network, now=now)


def test_a_subscription_begins_with_an_answer_and_ends_with_a_click(
    page: StatusPage, client: Client, alice: Any
):
    component = make_component(page)
    answered(client, ASK, {"email": "Ana@example.org", "components": [component.key, "unknown"]})
    assert send_batch(now=timezone.now()) == 1
    link = link_in(mail.outbox[0].body)

    answered(client, link)
    assert Subscriber.objects.get().confirmed_at is None
    answered(client, link, {})
    report = make_report(page, component)
    post_update(actor=alice, report=report, stage=Stage.MONITORING, text="Better.", now=NOW)
    assert send_batch(now=timezone.now()) == 1

    told = mail.outbox[1]
    assert told.to == ["Ana@example.org"]
    assert told.subject == "[Nordhavn data status] Monitoring: Reports are late"
    assert "28 Nov 2026, 12:00 UTC" in told.body
    assert told.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = link_in(told.extra_headers["List-Unsubscribe"].strip("<>"))
    one_click = Client(enforce_csrf_checks=True)
    assert answered(client, address).count("checked") == 1
    assert client.post(address, {"verb": "choose"}).status_code == 302
    assert not Subscriber.objects.get().components.exists()
    answered(one_click, address, {"List-Unsubscribe": "One-Click"})
    assert not Subscriber.objects.exists()
    answered(one_click, address, {"List-Unsubscribe": "One-Click"})
    assert client.get(address).status_code == 404


def test_the_answer_is_the_same_whatever_is_known(page: StatusPage, client: Client):
    make_subscriber(page, "known@example.org")
    pages = {answered(client, ASK, {"email": f"{name}@example.org"}) for name in ("known", "new")}
    for _ in range(services.OF_NETWORK):
        client.post(ASK, {"email": "x@example.org"})
    pages.add(answered(client, ASK, {"email": "late@example.org"}))

    assert len({re.sub(r"[0-9a-f]{16}", "", one) for one in pages}) == 1


def test_who_subscribes_another_reaches_that_reader_with_one_question_now_and_then(
    page: StatusPage, charlie: Any
):
    other = make_page(Organization.objects.get(slug="elsewhere"))
    for minute in (0, 5, 9, *range(10, 24 * 60, 150)):
        ask(page, now=NOW + minute * MINUTE, network=str(minute))
        ask(other, now=NOW + minute * MINUTE, network=str(minute))
        send_batch(now=NOW)

    assert len(mail.outbox) == services.ADDRESS_IN_ALL
    assert all("Confirm your subscription" in one.subject for one in mail.outbox)
    services.forget_unconfirmed(now=NOW + timedelta(days=6))
    assert not Subscriber.objects.exists()


def test_a_network_asks_for_few_addresses_in_an_hour(page: StatusPage):
    for number in range(50):
        ask(page, f"{number}@example.org", now=NOW)
    assert Subscriber.objects.count() == services.OF_NETWORK

    ask(page, "later@example.org", now=NOW + 61 * MINUTE)

    assert Subscriber.objects.count() == services.OF_NETWORK + 1


def test_networks_are_kept_as_digests_of_their_own():
    digests = [services.network_digest(one) for one in ("192.0.2.7", "192.0.2.200", "192.0.3.7")]

    assert digests[0] == digests[1] != digests[2]
    assert "192" not in digests[0]
    assert services.network_digest("2001:db8:1:2::1") == services.network_digest("2001:db8:1:ff::1")
    assert services.network_digest("not an address")


def test_who_is_subscribed_already_keeps_the_choice_and_is_told(page: StatusPage):
    component = make_component(page)
    subscriber = make_subscriber(page, asked_at=NOW - timedelta(days=30))
    subscriber.components.add(component)

    ask(page, now=NOW)
    send_batch(now=NOW)

    assert mail.outbox[0].subject == "You are subscribed to Nordhavn data status"
    assert list(subscriber.components.all()) == [component]


@pytest.mark.parametrize("email", ["", "no address", "a@b.org\nBcc: all@example.org"])
def test_what_is_no_address_is_refused_at_its_field(page: StatusPage, client: Client, email: str):
    answered(client, ASK, {"email": email}, status=422)
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("change", [{"is_on": False}, {"audience": "members"}])
def test_a_page_that_is_not_public_takes_no_subscription(
    page: StatusPage, client: Client, change: dict[str, Any]
):
    StatusPage.objects.update(**change)

    assert client.post(ASK, {"email": "ana@example.org"}).status_code == 404


def test_links_are_signed(page: StatusPage, client: Client):
    subscriber = make_subscriber(page)
    path = link_in(subscription_url(subscriber))

    for wrong in (
        f"/status-mail/{subscriber.key}/",
        path.replace(":", ":x"),
        f"/status-mail/confirm{path[12:]}",
    ):
        assert client.get(wrong).status_code == 404
        assert client.post(wrong, {"verb": "choose"}).status_code in (200, 404)
    assert Subscriber.objects.exists()


def test_only_components_that_a_reader_chose_are_mailed(page: StatusPage, alice: Any):
    one, two = make_component(page), make_component(page, name="Prices")
    make_subscriber(page, "all@example.org")
    make_subscriber(page, "one@example.org").components.add(one)
    make_subscriber(page, "two@example.org").components.add(two)
    make_subscriber(page, "asked@example.org", confirmed_at=None)
    report = make_report(page, one)

    post_update(actor=alice, report=report, stage=Stage.RESOLVED, text="Done.", now=NOW)
    make_subscriber(page, "later@example.org")
    send_batch(now=NOW)

    assert [one.to[0] for one in mail.outbox] == ["all@example.org", "one@example.org"]
    assert Mailing.objects.get().done_at == NOW


def many(page: StatusPage, count: int) -> None:
    Subscriber.objects.bulk_create(
        Subscriber(
            page=page, email=f"{n}@example.org", asked_at=NOW, asked_from="x", confirmed_at=NOW
        )
        for n in range(count)
    )


def test_a_mail_run_goes_on_in_batches_and_sends_each_mail_once(
    page: StatusPage, alice: Any, monkeypatch: Any
):
    monkeypatch.setattr(mailing, "BATCH", 20)
    many(page, 45)
    report = make_report(page)
    post_update(actor=alice, report=report, stage=Stage.MONITORING, text="Better.", now=NOW)

    sent = [send_batch(now=NOW + number * MINUTE) for number in range(4)]

    assert sent == [20, 20, 5, 0]
    assert len({one.to[0] for one in mail.outbox}) == 45


def test_mails_leave_at_the_rate_of_the_operator_and_runs_take_turns(
    page: StatusPage, alice: Any, settings: Any, charlie: Any
):
    settings.STATUS_MAILS_PER_MINUTE = 600
    small = make_page(Organization.objects.get(slug="elsewhere"), name="Small")
    many(page, 25)
    many(small, 3)
    begin = partial(post_update, actor=alice, stage=Stage.MONITORING, text="Better.", now=NOW)
    begin(report=make_report(page))
    with connection.cursor() as cursor:
        # Who plans for one row may look for the one to take once for each row.
        cursor.execute("ANALYZE status_pages_mailing")
    begin(report=make_report(small))

    sent = [send_batch(now=NOW + tenth * timedelta(seconds=0.5)) for tenth in range(9)]

    # Ten a second in all, and the small run has not waited for the large one.
    assert sent == [10, 0, 3, 10, 0, 0, 5, 0, 0]


def test_a_mail_costs_one_query_and_has_the_same_id_each_time(
    page: StatusPage, alice: Any, django_assert_max_num_queries: Any
):
    many(page, 60)
    post_update(
        actor=alice, report=make_report(page), stage=Stage.MONITORING, text="Better.", now=NOW
    )
    update, reader = page.reports.get().updates.latest("pk"), Subscriber.objects.first()

    with django_assert_max_num_queries(60 + 12):
        assert send_batch(now=NOW) == 60

    sent = mail.outbox[0].extra_headers["Message-ID"]
    assert sent == f"<{update.key}.{reader.key}@localhost>"
    assert len({one.extra_headers["Message-ID"] for one in mail.outbox}) == 60


@pytest.mark.django_db(transaction=True)
def test_a_mailer_that_is_killed_repeats_one_mail_at_most(
    page: StatusPage, alice: Any, settings: Any
):
    many(page, 60)
    post_update(
        actor=alice, report=make_report(page), stage=Stage.MONITORING, text="Better.", now=NOW
    )
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_USE_TLS = False
        mailer = os.fork()
        if mailer == 0:
            # The connection is the parent's: this process makes one of its own.
            connection.connection = None
            send_batch(now=NOW)
            os._exit(0)
        until = time.monotonic() + 30
        while len(server.mails) < 20 and time.monotonic() < until:
            time.sleep(0.001)
        os.kill(mailer, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(mailer, 0)[1])
        assert send_batch(now=NOW + MINUTE) == 0
        while not Mailing.objects.get().done_at:
            send_batch(now=NOW + 3 * MINUTE)

    ids = [one["Message-ID"] for one in server.mails]
    assert len(set(ids)) == 60
    assert len(ids) <= 61


class AwayAfter(EmailBackend):
    """A mail server that goes away after some mails, and refuses one address."""

    left = 25

    def send_messages(self, messages: Any) -> int:
        if any("7@example.org" in one.to for one in messages):
            raise smtplib.SMTPRecipientsRefused({"7@example.org": (550, b"no such user")})
        if AwayAfter.left <= 0:
            raise smtplib.SMTPServerDisconnected("gone")
        AwayAfter.left -= 1
        return super().send_messages(messages) or 0


def test_a_mail_server_that_is_away_is_waited_for_and_no_one_gets_two(
    page: StatusPage, alice: Any, settings: Any
):
    settings.EMAIL_BACKEND = "tests.status_pages.test_subscriptions.AwayAfter"
    many(page, 40)
    report = make_report(page)
    post_update(actor=alice, report=report, stage=Stage.MONITORING, text="Better.", now=NOW)

    assert send_batch(now=NOW) == 25
    run = Mailing.objects.get()
    assert run.done_at is None
    assert run.next_at > NOW
    assert "does not answer" in run.error
    assert send_batch(now=NOW) == 0
    AwayAfter.left = 100
    assert send_batch(now=NOW + 2 * MINUTE) == 14
    run.refresh_from_db()
    assert (run.sent, run.refused, run.error) == (39, 1, "")
    assert len({one.to[0] for one in mail.outbox}) == len(mail.outbox) == 39
    assert Subscriber.objects.get(email="7@example.org").refusals == 1


def test_a_lease_keeps_two_mailers_apart(page: StatusPage, alice: Any):
    many(page, 3)
    report = make_report(page)
    post_update(actor=alice, report=report, stage=Stage.MONITORING, text="Better.", now=NOW)
    Mailing.objects.update(claimed_until=NOW + MINUTE)

    assert send_batch(now=NOW) == 0
    assert send_batch(now=NOW + 2 * MINUTE) == 3


def test_a_page_that_is_off_mails_nothing(page: StatusPage, alice: Any):
    many(page, 3)
    report = make_report(page)
    post_update(actor=alice, report=report, stage=Stage.MONITORING, text="Better.", now=NOW)
    StatusPage.objects.update(is_on=False)

    assert send_batch(now=NOW) == 0
    assert mail.outbox == []
