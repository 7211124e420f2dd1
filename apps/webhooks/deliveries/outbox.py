"""The outbox: what waits is taken by webhook, sent in order, tried again, given up after 3 days.

A webhook is taken by one sender at a time, by a row lock and a lease, so a slow receiver occupies
one thread and delays no other. When a delivery fails, the webhook waits, longer each time, up to 15
minutes: what comes later is never sent first. What the receiver refuses as such is given up at
once, and the next one is tried.

A sender that dies between sending and writing sends that event again when its lease ends, with the
same id.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime

from django.db import connection
from django.utils import timezone

from apps.alerts.deliveries.outbox import UNEXPECTED, wait_after
from apps.alerts.deliveries.sending import SendFailed
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.deliveries.sending import send
from apps.webhooks.hooks.models import Webhook

logger = logging.getLogger(__name__)

State = WebhookDelivery.State
LEASE_SECONDS, TURN_SECONDS, MOST_AT_ONCE = 120, 30.0, 100
# Webhooks in the order in which their oldest delivery was written.
_TAKE = """
    WITH chosen AS (
        SELECT one.id FROM webhooks_webhook one
        JOIN LATERAL (
            SELECT created_at FROM webhooks_webhookdelivery
            WHERE webhook_id = one.id AND state = 'waiting' ORDER BY sequence LIMIT 1
        ) first ON true
        WHERE one.is_enabled
            AND (one.claimed_until IS NULL OR one.claimed_until <= statement_timestamp())
            AND (one.next_at IS NULL OR one.next_at <= statement_timestamp())
        ORDER BY first.created_at LIMIT %s FOR UPDATE OF one SKIP LOCKED
    )
    UPDATE webhooks_webhook hook
    SET claimed_until = statement_timestamp() + %s * interval '1 second'
    FROM chosen
    WHERE hook.id = chosen.id
    RETURNING hook.id, hook.claimed_until
"""


def take_due(*, most: int) -> list[tuple[int, datetime]]:
    """Take webhooks that something waits for; return their ids and the ends of their leases."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [most, LEASE_SECONDS])
        return [(pk, until) for pk, until in cursor.fetchall()]


def empty_webhook(
    *, webhook_id: int, lease: datetime, clock: Callable[[], datetime] = timezone.now
) -> None:
    """Send what waits for a webhook that was taken, until one fails or the turn is over, and give
    it back.
    """
    deadline = time.monotonic() + TURN_SECONDS
    _give_up_old(webhook_id, clock())
    for _ in range(MOST_AT_ONCE):
        delivery = _next(webhook_id)
        if delivery is None or not deliver(delivery, now=clock()):
            break
        if time.monotonic() > deadline:
            break
    # Another sender has it by now if the lease is over.
    Webhook.objects.filter(pk=webhook_id, claimed_until=lease).update(claimed_until=None)


def _next(webhook_id: int) -> WebhookDelivery | None:
    waiting = WebhookDelivery.objects.filter(webhook=webhook_id, state=State.WAITING)
    return waiting.select_related("webhook").order_by("sequence").first()


def _give_up_old(webhook_id: int, now: datetime) -> None:
    """Give up what waited for 3 days: to try each of them would take days more."""
    webhook = Webhook.objects.filter(pk=webhook_id).exclude(failures=0).first()
    if webhook is None:
        return
    waiting = WebhookDelivery.objects.filter(webhook=webhook, state=State.WAITING)
    waiting.filter(give_up_at__lte=now).update(
        state=State.FAILED, done_at=now, answer=webhook.last_error
    )


def deliver(delivery: WebhookDelivery, *, now: datetime) -> bool:
    """Try a delivery once and write what came of it; return whether the webhook is to go on."""
    delivery.attempts += 1
    try:
        answer = send(webhook=delivery.webhook, body=delivery.body, event=delivery.event, now=now)
    except SendFailed as error:
        return _failed(delivery, error, now)
    except Exception:
        # One that cannot be written must not keep the others from being sent.
        logger.exception("webhook not sent", extra={"delivery": delivery.pk})
        return _failed(delivery, SendFailed(UNEXPECTED, is_final=True), now)
    delivery.state, delivery.answer, delivery.done_at = State.DELIVERED, answer[:300], now
    _save(delivery)
    note_success(delivery.webhook, now=now)
    return True


def _failed(delivery: WebhookDelivery, error: SendFailed, now: datetime) -> bool:
    delivery.answer = error.message
    if error.is_final or now >= delivery.give_up_at:
        delivery.state, delivery.done_at = State.FAILED, now
    _save(delivery)
    webhook = delivery.webhook
    found = {"last_error": error.message, "failing_since": webhook.failing_since or now}
    if not error.is_final:
        failures = webhook.failures + 1
        wait = wait_after(failures, asked=error.again_in)
        found |= {"failures": failures, "next_at": now + wait}
    Webhook.objects.filter(pk=webhook.pk).update(**found)
    return error.is_final


def note_success(webhook: Webhook, *, now: datetime) -> None:
    """Write on a webhook that its receiver accepted something: what waits is sent at once."""
    Webhook.objects.filter(pk=webhook.pk).update(
        failures=0, failing_since=None, next_at=None, last_error="", delivered_at=now
    )


def _save(delivery: WebhookDelivery) -> None:
    delivery.save(update_fields=["state", "answer", "done_at", "attempts"])
