"""The outbox: due messages are taken by channel, sent in order, tried again, given up after a day.

A channel is taken by one sender at a time, by a row lock and a lease, so a slow one occupies one
thread and delays no other. When a message fails, the whole channel waits: 30 s, then longer each
time, up to 15 minutes, with jitter. A message that the receiver refuses as such is given up at
once, and the next one is tried.

A sender that dies between sending and writing sends that one message again when its lease ends:
receivers that know its id (webhook-id, dedup_key, alias) show it once.
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.messages import Message
from apps.alerts.deliveries.models import Delivery, DeliveryState
from apps.alerts.deliveries.sending import SendFailed, send

logger = logging.getLogger(__name__)

GIVE_UP = timedelta(days=1)
LEASE_SECONDS, TURN_SECONDS, MOST_AT_ONCE = 120, 30.0, 50
FIRST_WAIT, LONGEST_WAIT, LONGEST_ASKED = 30.0, 900.0, 3_600.0
UNEXPECTED = "The portal could not send it. Its log says why."
# Channels in the order in which their oldest message was due.
_TAKE = """
    WITH chosen AS (
        SELECT one.id FROM alerts_channel one
        JOIN LATERAL (
            SELECT min(next_at) AS next_at FROM alerts_delivery
            WHERE channel_id = one.id AND state = 'waiting' AND next_at <= statement_timestamp()
        ) due ON due.next_at IS NOT NULL
        WHERE (one.claimed_until IS NULL OR one.claimed_until <= statement_timestamp())
            AND (one.next_at IS NULL OR one.next_at <= statement_timestamp())
        ORDER BY due.next_at LIMIT %s FOR UPDATE OF one SKIP LOCKED
    )
    UPDATE alerts_channel channel
    SET claimed_until = statement_timestamp() + %s * interval '1 second'
    FROM chosen
    WHERE channel.id = chosen.id
    RETURNING channel.id, channel.claimed_until
"""


def take_due(*, most: int) -> list[tuple[int, datetime]]:
    """Take channels with due messages; return their ids and the ends of their leases."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [most, LEASE_SECONDS])
        return [(pk, until) for pk, until in cursor.fetchall()]


def empty_channel(
    *, channel_id: int, lease: datetime, clock: Callable[[], datetime] = timezone.now
) -> None:
    """Send what is due in a channel that was taken, until one fails or the turn is over, and give
    the channel back.
    """
    deadline = time.monotonic() + TURN_SECONDS
    _give_up_old(channel_id, clock())
    for _ in range(MOST_AT_ONCE):
        delivery = _next(channel_id, clock())
        if delivery is None or not deliver(delivery, now=clock()):
            break
        if time.monotonic() > deadline:
            break
    # Another sender has it by now if the lease is over.
    Channel.objects.filter(pk=channel_id, claimed_until=lease).update(claimed_until=None)


def _give_up_old(channel_id: int, now: datetime) -> None:
    """Give up what waited for a day behind others in a channel that fails: to try each of them
    would take days more.
    """
    channel = Channel.objects.filter(pk=channel_id).exclude(failures=0).first()
    if channel is None:
        return
    old = Delivery.objects.filter(channel=channel, state=DeliveryState.WAITING, give_up_at__lte=now)
    old.update(state=DeliveryState.FAILED, done_at=now, error=channel.last_error)


def _next(channel_id: int, now: datetime) -> Delivery | None:
    waiting = Delivery.objects.filter(
        channel=channel_id, state=DeliveryState.WAITING, next_at__lte=now
    )
    return waiting.select_related("channel").order_by("next_at", "pk").first()


def deliver(delivery: Delivery, *, now: datetime) -> bool:
    """Try a message once and write what came of it; return whether the channel is to go on."""
    channel = delivery.channel
    delivery.attempts += 1
    try:
        message = Message.from_json(delivery.message)
        sent = send(
            channel=channel,
            message=message,
            delivery=f"msg_{delivery.pk}",
            now=now,
            thread=_thread_of(delivery),
        )
    except SendFailed as error:
        return _failed(delivery, error, now)
    except Exception:
        # One message that cannot be written must not keep the others from being sent.
        logger.exception("not sent", extra={"delivery": delivery.pk})
        return _failed(delivery, SendFailed(UNEXPECTED, is_final=True), now)
    delivery.state, delivery.done_at = DeliveryState.DELIVERED, now
    delivery.error, delivery.receipt = sent.answer[:300], sent.receipt
    delivery.save(update_fields=["state", "error", "receipt", "done_at", "attempts"])
    channel.failures, channel.failing_since, channel.next_at = 0, None, None
    channel.last_error, channel.delivered_at = "", now
    _save(channel)
    return True


def _thread_of(delivery: Delivery) -> str:
    """Return the receipt of the first message of the same alert in this channel, if it has one."""
    if not delivery.channel.needs.has_room or delivery.alert_id is None:
        return ""
    earlier = Delivery.objects.filter(channel=delivery.channel_id, alert=delivery.alert_id)
    with_receipt = earlier.exclude(receipt="").exclude(pk=delivery.pk)
    return with_receipt.order_by("pk").values_list("receipt", flat=True).first() or ""


def _failed(delivery: Delivery, error: SendFailed, now: datetime) -> bool:
    delivery.error = error.message
    is_over = error.is_final or now >= delivery.give_up_at
    if is_over:
        delivery.state, delivery.done_at = DeliveryState.FAILED, now
    else:
        delivery.next_at = now + timedelta(seconds=1)
    delivery.save(update_fields=["state", "error", "done_at", "attempts", "next_at"])
    channel = delivery.channel
    channel.last_error = error.message
    channel.failing_since = channel.failing_since or now
    if not error.is_final:
        channel.failures += 1
        channel.next_at = now + wait_after(channel.failures, asked=error.again_in)
    _save(channel)
    return error.is_final


def wait_after(
    failures: int, *, asked: float | None = None, jitter: float | None = None
) -> timedelta:
    """Return how long a channel waits after a number of failures in a row: doubling, up to 15
    minutes, as long as the receiver asked for within an hour, and up to a fifth more at random.
    """
    seconds = min(FIRST_WAIT * 2 ** min(max(failures, 1) - 1, 10), LONGEST_WAIT)
    seconds = max(seconds, min(asked or 0.0, LONGEST_ASKED))
    share = random.random() if jitter is None else jitter  # noqa: S311 - no secret
    return timedelta(seconds=seconds * (1 + share / 5))


def _save(channel: Channel) -> None:
    fields = ["failures", "failing_since", "next_at", "last_error", "delivered_at"]
    channel.save(update_fields=fields)
