"""Sending: real receivers on this machine, in their moods."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as mailbox
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries import outbox, payloads, sending
from apps.alerts.deliveries.models import Delivery, DeliveryState
from apps.alerts.deliveries.sending import SendFailed
from apps.alerts.deliveries.services import resend, send_test
from apps.alerts.notifier import Notifier
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.sweep import sweep
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict
from apps.deployments.models import Deployment
from apps.organizations.models import Workspace
from tests.alerts.examples import NOW, ended, make_channel, make_rule
from tests.alerts.mail_server import mail_server
from tests.alerts.receivers import Receiver, receiver
from tests.alerts.test_payloads import MESSAGE

pytestmark = pytest.mark.django_db


@pytest.fixture
def there(settings: Any) -> Iterator[Receiver]:
    settings.ALERT_NETWORKS, settings.ALERTS_ALLOW_HTTP = ("127.0.0.0/8",), True
    with receiver() as found:
        yield found


@pytest.fixture
def hook(workspace: Workspace, alice: User, there: Receiver) -> Channel:
    return make_channel(workspace, alice, "webhook", url=there.url, key="a-signing-secret")


def put(channel: Channel, title: str = "DAG orders failed", **fields: Any) -> Delivery:
    now = timezone.now()
    given = {"next_at": now, "give_up_at": now + timedelta(days=1), "event": "opened"}
    message = MESSAGE.as_json() | {"title": title}
    return Delivery.objects.create(channel=channel, message=message, **{**given, **fields})


def send_due() -> int:
    taken = outbox.take_due(most=10)
    for channel_id, lease in taken:
        outbox.empty_channel(channel_id=channel_id, lease=lease)
    return len(taken)


def test_a_webhook_is_signed_and_its_answer_is_kept(hook: Channel, there: Receiver):
    delivery = put(hook)

    assert send_due() == 1
    assert send_due() == 0

    (_, headers, body) = there.requests[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"a-signing-secret", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert headers["webhook-id"] == f"msg_{delivery.pk}"
    assert json.loads(body)["type"] == "alert.opened"
    delivery.refresh_from_db()
    hook.refresh_from_db()
    assert (delivery.state, delivery.error) == (DeliveryState.DELIVERED, "202 accepted")
    assert hook.delivered_at is not None
    assert hook.claimed_until is None


@pytest.mark.parametrize(
    ("mood", "error", "is_final"),
    [
        ("redirect", "It answered with a redirect (302)", False),
        ("failing", "It answered 503 <script>alert(1)</script>xxx", False),
        ("refusing", "It answered 400 no such field", True),
        ("vanishing", "Nothing accepts connections there, or the connection was cut.", False),
    ],
)
def test_what_a_receiver_does_wrong_is_said_and_tried_again(
    hook: Channel, there: Receiver, mood: str, error: str, is_final: bool
):
    there.mood = mood
    delivery = put(hook)

    send_due()

    delivery.refresh_from_db()
    hook.refresh_from_db()
    assert delivery.error.startswith(error)
    assert len(delivery.error) <= 300
    assert "\x1b" not in delivery.error
    assert (delivery.state == DeliveryState.FAILED) == is_final
    assert hook.failing_since is not None
    assert send_due() == 0, "it waits"
    if mood == "failing":
        assert hook.next_at is not None
        assert hook.next_at - timezone.now() > timedelta(seconds=115)
    there.mood = "good"
    Channel.objects.update(next_at=None)
    Delivery.objects.update(next_at=NOW)
    send_due()
    delivery.refresh_from_db()
    assert (delivery.state == DeliveryState.DELIVERED) != is_final


def test_a_slow_receiver_is_cut_off_and_delays_no_other(
    hook: Channel,
    there: Receiver,
    workspace: Workspace,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    there.mood = "slow"
    other = make_channel(workspace, alice)
    slow, fast = put(hook), put(other)
    put(hook, title="behind it")

    taken = outbox.take_due(most=10)
    assert {pk for pk, _ in taken} == {hook.pk, other.pk}
    began = time.monotonic()
    for channel_id, lease in taken:
        outbox.empty_channel(channel_id=channel_id, lease=lease)

    assert time.monotonic() - began < 3
    slow.refresh_from_db()
    fast.refresh_from_db()
    assert slow.error == "It did not answer within 0 seconds."
    assert fast.state == DeliveryState.DELIVERED
    assert len(there.requests) == 1, "what is behind it waits with the channel"


def test_a_channel_that_fails_for_a_day_gives_up_what_waited(hook: Channel, there: Receiver):
    there.mood = "failing"
    old = timezone.now() - timedelta(days=1)
    for _ in range(3):
        put(hook, next_at=old, give_up_at=old + timedelta(hours=23))
    send_due()
    assert Delivery.objects.filter(state=DeliveryState.FAILED).count() == 1
    Channel.objects.update(next_at=None)
    there.mood = "good"

    send_due()

    assert set(Delivery.objects.values_list("state", flat=True)) == {DeliveryState.FAILED}
    assert "503" in Delivery.objects.latest("pk").error


def test_a_receiver_that_repeats_its_secret_address_is_not_believed(
    workspace: Workspace, alice: User, there: Receiver
):
    url = f"{there.url}/T0/canary-of-slack"
    channel = make_channel(workspace, alice, "slack", url=url)
    there.mood = "repeating"

    with pytest.raises(SendFailed) as error:
        sending.send(channel=channel, message=MESSAGE, delivery="1", now=NOW)

    assert "canary" not in error.value.message
    assert "500 no" in error.value.message


def test_waits_grow_and_have_an_end():
    waits = [outbox.wait_after(number, jitter=0).total_seconds() for number in range(1, 9)]

    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert outbox.wait_after(1, jitter=1).total_seconds() == 36
    assert outbox.wait_after(1, asked=500, jitter=0).total_seconds() == 500
    assert outbox.wait_after(10_000, asked=1e9, jitter=0).total_seconds() == 3600


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/", "Only https addresses are allowed."),
        ("https://127.0.0.1:1/", "127.0.0.1 is an address of the portal's own machine."),
        ("https://169.254.169.254/", "a link-local address"),
        ("https://[::ffff:127.0.0.1]/", "an address of the portal's own machine"),
        ("https://no-such-host.invalid/", "cannot be looked up"),
    ],
)
def test_messages_go_to_no_address_inside(workspace: Workspace, alice: User, url: str, said: str):
    channel = make_channel(workspace, alice, "slack", url=url)

    with pytest.raises(SendFailed, match=said.replace(".", r"\.")):
        sending.send(channel=channel, message=MESSAGE, delivery="1", now=NOW)


def test_mail_is_handed_to_the_mail_server(workspace: Workspace, alice: User):
    channel = make_channel(workspace, alice, to=("a@example.org", "b@example.org"))
    put(channel)

    send_due()

    sent = mailbox.outbox[0]
    assert sent.to == ["a@example.org", "b@example.org"]
    assert sent.subject == "[Critical] DAG orders failed"
    assert "https://portal.example.org/d/etl/alerts/7/" in sent.body


def test_what_follows_goes_into_the_thread_of_the_first_message_in_slack(
    deployment: Deployment,
    workspace: Workspace,
    alice: User,
    there: Receiver,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(payloads, "SLACK_API", there.url)
    channel = make_channel(workspace, alice, "slack-app")
    now = timezone.now() - timedelta(minutes=5)
    rule = make_rule(workspace, channels=[channel], since=now - timedelta(hours=1))
    ended(deployment, at=now)
    there.mood = "slack-refusing"
    sweep(now=now)
    send_due()
    failed = Delivery.objects.get()
    assert failed.error == "Slack refused the message: not_in_channel."
    assert failed.state == DeliveryState.WAITING
    there.mood = "slack"
    Channel.objects.update(next_at=None)
    Delivery.objects.update(next_at=NOW)
    send_due()
    assert Delivery.objects.get().receipt == "1764.0001"
    Rule.objects.filter(pk=rule.pk).update(is_enabled=False)
    sweep(now=now + timedelta(minutes=1))
    send_due()

    bodies = [json.loads(body) for _, _, body in there.requests]
    assert [one.get("thread_ts") for one in bodies] == [None, None, "1764.0001"]
    assert {one["channel"] for one in bodies} == {"C0123ABCD"}
    assert there.requests[0][1]["authorization"] == "Bearer xoxb-slack-secret"


def test_mail_goes_through_a_real_mail_server_once_for_all_its_addresses(
    workspace: Workspace, alice: User, settings: Any
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_USE_TLS = "127.0.0.1", False
    to = ("oncall@example.org", "data@example.org")
    channel = make_channel(workspace, alice, to=to)
    hostile = "DAG x\r\nBcc: all@example.org\r\n.\r\n failed"
    with mail_server() as there:
        settings.EMAIL_PORT = there.port
        first = put(channel, hostile)
        send_due()
        there.refused = "452 4.2.2 Mailbox full"
        second = put(channel)
        send_due()

    (mail,) = there.mails
    assert there.recipients[:2] == list(to)
    assert mail["To"] == ", ".join(to)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Bcc" not in mail
    assert "all@example.org" in mail["Subject"]
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.error) == (DeliveryState.DELIVERED, "Handed to the mail server.")
    assert second.state == DeliveryState.WAITING
    assert second.error == "The mail server refused the message. 452 4.2.2 Mailbox full"


def test_a_mail_server_that_refuses_or_is_away_is_said(
    workspace: Workspace, alice: User, settings: Any
):
    channel = make_channel(workspace, alice)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    with pytest.raises(SendFailed) as error:
        sending.send(channel=channel, message=MESSAGE, delivery="1", now=NOW)

    assert error.value.message == sending.MAIL_SILENT
    assert not error.value.is_final


def test_a_test_is_sent_at_once_and_tells_the_answer(hook: Channel, there: Receiver, alice: User):
    assert send_test(actor=alice, channel=hook, now=NOW) == "202 accepted"
    there.mood = "refusing"
    with pytest.raises(SendFailed, match="400"):
        send_test(actor=alice, channel=hook, now=NOW)

    hook.refresh_from_db()
    assert hook.failing_since is not None
    assert AuditEvent.objects.filter(action="alert_channel.tested").count() == 2


def test_a_message_is_sent_again_as_it_was(hook: Channel, there: Receiver, alice: User):
    delivery = put(hook, state=DeliveryState.FAILED, attempts=6)

    resend(actor=alice, delivery=delivery, now=timezone.now())
    send_due()

    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.DELIVERED
    assert delivery.resent_by == alice
    waiting = put(hook, next_at=timezone.now() + timedelta(hours=1))
    with pytest.raises(Conflict):
        resend(actor=alice, delivery=waiting, now=timezone.now())


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_channel_is_taken_by_one_of_many_senders(hook: Channel, there: Receiver):
    for number in range(20):
        put(hook, title=f"message {number}")

    def work(_: int) -> int:
        try:
            return send_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        taken = sum(threads.map(work, range(8)))

    titles = [json.loads(body)["data"]["title"] for _, _, body in there.requests]
    assert titles == [f"message {number}" for number in range(20)]
    assert taken >= 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_notifier_evaluates_and_sends_until_it_is_stopped(
    deployment: Deployment, workspace: Workspace, hook: Channel, there: Receiver
):
    now = timezone.now()
    make_rule(workspace, channels=[hook], since=now - timedelta(hours=1))
    ended(deployment, at=now)
    stop = threading.Event()
    thread = threading.Thread(target=Notifier().run, kwargs={"stop": stop})
    thread.start()

    arrived = there.arrived.wait(15)
    stop.set()
    thread.join(20)

    assert arrived
    assert not thread.is_alive()
    assert [json.loads(body)["type"] for _, _, body in there.requests] == ["alert.opened"]
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
