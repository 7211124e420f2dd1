"""Sending: real receivers on this machine, in their moods."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.deliveries import sending
from apps.alerts.deliveries.sending import SendFailed
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict
from apps.organizations.models import Organization
from apps.webhooks.deliveries import outbox
from apps.webhooks.deliveries.dispatching import GIVE_UP
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.deliveries.services import resend, send_test
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.secrets import opened
from apps.webhooks.hooks.services import ROTATION, end_former_secret, rotate_secret
from apps.webhooks.sender import WebhookSender
from apps.webhooks.tasks import forget_old
from tests.alerts.receivers import Receiver, receiver
from tests.webhooks.examples import begin_operation, make_webhook

pytestmark = pytest.mark.django_db
State = WebhookDelivery.State


@pytest.fixture
def there(settings: Any) -> Iterator[Receiver]:
    settings.ALERT_NETWORKS, settings.ALERTS_ALLOW_HTTP = ("127.0.0.0/8",), True
    with receiver() as found:
        yield found


@pytest.fixture
def hook(organization: Organization, alice: User, there: Receiver) -> Webhook:
    return make_webhook(organization, alice, url=there.url)


def put(webhook: Webhook, kind: str = "deploy.failed", **fields: Any) -> WebhookDelivery:
    number = webhook.deliveries.count() + 1
    given = {
        "event": f"evt_{number}",
        "type": kind,
        "sequence": number,
        "give_up_at": timezone.now() + GIVE_UP,
    }
    body = {"type": kind, "sequence": number}
    return WebhookDelivery.objects.create(webhook=webhook, body=body, **{**given, **fields})


def send_due() -> int:
    taken = outbox.take_due(most=10)
    for webhook_id, lease in taken:
        outbox.empty_webhook(webhook_id=webhook_id, lease=lease)
    return len(taken)


def signed_by(secret: str, request: tuple[str, dict[str, str], bytes]) -> bool:
    (_, headers, body) = request
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in headers["webhook-signature"].split()


def test_what_waits_is_sent_in_order_and_signed(hook: Webhook, there: Receiver):
    for _ in range(3):
        put(hook)

    assert send_due() == 1
    assert send_due() == 0

    assert [json.loads(body)["sequence"] for _, _, body in there.requests] == [1, 2, 3]
    assert [headers["webhook-id"] for _, headers, _ in there.requests] == [
        "evt_1",
        "evt_2",
        "evt_3",
    ]
    assert all(signed_by(opened(hook)["secret"], one) for one in there.requests)
    assert set(WebhookDelivery.objects.values_list("state", "answer")) == {
        ("delivered", "202 accepted")
    }


def test_two_secrets_sign_while_one_replaces_the_other(hook: Webhook, there: Receiver, alice: User):
    now = timezone.now()
    first = opened(hook)["secret"]
    second = rotate_secret(actor=alice, webhook=hook, now=now)

    put(hook)
    send_due()
    with pytest.raises(Conflict):
        rotate_secret(actor=alice, webhook=hook, now=now)
    end_former_secret(actor=alice, webhook=hook)
    put(hook)
    send_due()

    assert [[signed_by(one, request) for one in (first, second)] for request in there.requests] == [
        [True, True],
        [False, True],
    ]
    hook.refresh_from_db()
    third = rotate_secret(actor=alice, webhook=hook, now=now - ROTATION)
    put(hook)
    send_due()
    assert [signed_by(one, there.requests[-1]) for one in (second, third)] == [False, True]
    actions = AuditEvent.objects.filter(action__startswith="webhook.")
    assert not any(one in str(list(actions.values())) for one in (first, second, third))


@pytest.mark.parametrize("mood", ["redirect", "failing", "vanishing"])
def test_a_failure_holds_up_what_comes_later_so_that_the_order_stays(
    hook: Webhook, there: Receiver, mood: str
):
    there.mood = mood
    put(hook)
    put(hook)

    send_due()

    hook.refresh_from_db()
    assert len(there.requests) == 1
    assert hook.failing_since is not None
    assert hook.next_at is not None
    assert send_due() == 0, "it waits"
    there.mood = "good"
    Webhook.objects.update(next_at=timezone.now())
    send_due()
    assert [json.loads(body)["sequence"] for _, _, body in there.requests] == [1, 1, 2]
    hook.refresh_from_db()
    assert (hook.failing_since, hook.failures, hook.last_error) == (None, 0, "")


def test_what_a_receiver_refuses_is_given_up_at_once_and_the_next_is_sent(
    hook: Webhook, there: Receiver
):
    there.mood = "refusing"
    put(hook)
    put(hook)

    send_due()

    assert [one.state for one in WebhookDelivery.objects.all()] == [State.FAILED] * 2
    hook.refresh_from_db()
    assert hook.next_at is None


def test_after_three_days_of_failures_it_is_given_up_and_can_be_sent_again(
    hook: Webhook, there: Receiver, alice: User
):
    there.mood = "failing"
    first, second = put(hook), put(hook)
    send_due()
    later = timezone.now() + GIVE_UP + timedelta(seconds=1)
    Webhook.objects.update(next_at=None)

    (taken,) = outbox.take_due(most=1)
    outbox.empty_webhook(webhook_id=taken[0], lease=taken[1], clock=lambda: later)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.FAILED, State.FAILED)
    assert first.answer.startswith("It answered 503")
    there.mood = "good"
    resend(actor=alice, delivery=first, now=timezone.now())
    send_due()
    first.refresh_from_db()
    assert (first.state, first.resent_by) == (State.DELIVERED, alice)
    assert there.requests[-1][1]["webhook-id"] == "evt_1"


def test_a_slow_receiver_is_cut_off_and_delays_no_other(
    hook: Webhook,
    there: Receiver,
    organization: Organization,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    there.mood = "slow"
    put(hook)

    began = time.monotonic()
    send_due()

    assert time.monotonic() - began < 2
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.answer) == (
        State.WAITING,
        "It did not answer within 0 seconds.",
    )


def test_a_test_is_sent_at_once_and_told_apart(hook: Webhook, there: Receiver, alice: User):
    assert send_test(actor=alice, webhook=hook, now=timezone.now()) == "202 accepted"

    content = json.loads(there.requests[0][2])
    assert (content["type"], content["sequence"]) == ("webhook.test", 0)
    there.mood = "failing"
    with pytest.raises(SendFailed):
        send_test(actor=alice, webhook=hook, now=timezone.now())
    hook.refresh_from_db()
    assert hook.failing_since is not None
    assert not WebhookDelivery.objects.exists()


def test_an_address_of_this_machine_is_refused(organization: Organization, alice: User):
    hook = make_webhook(organization, alice, url="https://127.0.0.1/x")
    put(hook)

    send_due()

    assert "127.0.0.1" in WebhookDelivery.objects.get().answer


def test_old_deliveries_are_forgotten_but_not_what_waits(hook: Webhook):
    now = timezone.now()
    long_ago = now - timedelta(days=400)
    put(hook, state=State.DELIVERED, created_at=long_ago)
    put(hook, created_at=long_ago)

    assert forget_old(now=now) == 1
    assert WebhookDelivery.objects.get().state == State.WAITING


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_deploy_reaches_a_receiver_within_seconds_and_a_slow_one_delays_no_other(
    organization: Organization, alice: User, there: Receiver, make_deployment: Any
):
    deployment = make_deployment()
    with receiver() as slow:
        slow.mood = "slow"
        make_webhook(organization, alice, url=slow.url, name="slow")
        make_webhook(organization, alice, url=there.url, name="quick")
        stop = threading.Event()
        thread = threading.Thread(target=WebhookSender().run, kwargs={"stop": stop})
        thread.start()
        try:
            assert slow.arrived.wait(10)
            begin_operation(deployment)
            deadline = time.monotonic() + 10
            while not _got(there, "deploy.started") and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            stop.set()
            thread.join()

    assert _got(there, "deploy.started")


def _got(there: Receiver, kind: str) -> bool:
    return kind in [json.loads(body)["type"] for _, _, body in list(there.requests)]
