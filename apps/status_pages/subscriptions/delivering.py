"""Telling receivers: what is due is taken by receiver, and sent in order.

    asked ──▶ question ──▶ answered, or its link opened ──▶ updates, one at a time
                                   └── failing for 3 days, or gone (410) ──▶ ended

A receiver is taken by one sender at a time, by a row lock and a lease, so a slow one occupies one
thread and delays no other. When an update is not taken, the receiver waits, longer each time, up to
15 minutes. A sender that dies between sending and writing sends that update again when its lease
ends, with the same id.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F
from django.utils import timezone

from apps.alerts.deliveries.outbox import wait_after
from apps.alerts.deliveries.payloads import Request
from apps.alerts.deliveries.sending import SendFailed, exchange, judge, secrets_in
from apps.core.encryption.crypto import SecretUnreadable
from apps.status_pages.reports.models import ReportUpdate
from apps.status_pages.subscriptions import payloads
from apps.status_pages.subscriptions.addresses import opened, reach_of_visitors
from apps.status_pages.subscriptions.links import confirm_url, subscription_url
from apps.status_pages.subscriptions.models import Receiver, Subscriber, SubscriberKind
from apps.status_pages.subscriptions.services import confirm, give_up

logger = logging.getLogger(__name__)

LEASE_SECONDS, TURN_SECONDS = 120, 30.0
GIVE_UP = timedelta(days=3)
GONE = 410
# An incoming webhook that was removed (https://api.slack.com/messaging/webhooks#errors).
SLACK_GONE = frozenset({404, GONE})
UNREADABLE = "The portal cannot read its address any more."
_TAKE = """
    WITH chosen AS (
        SELECT one.subscriber_id FROM status_pages_receiver one
        JOIN status_pages_subscriber subscriber ON subscriber.id = one.subscriber_id
        WHERE (one.newest > one.last OR subscriber.is_mail_due)
            AND (one.claimed_until IS NULL OR one.claimed_until <= statement_timestamp())
            AND (one.next_at IS NULL OR one.next_at <= statement_timestamp())
        ORDER BY one.next_at NULLS FIRST, one.subscriber_id LIMIT %s
        FOR UPDATE OF one SKIP LOCKED
    )
    UPDATE status_pages_receiver receiver
    SET claimed_until = statement_timestamp() + %s * interval '1 second'
    FROM chosen
    WHERE receiver.subscriber_id = chosen.subscriber_id
    RETURNING receiver.subscriber_id, receiver.claimed_until
"""


def take_due(*, most: int) -> list[tuple[int, datetime]]:
    """Take receivers that are owed something; return their keys and the ends of their leases."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [most, LEASE_SECONDS])
        return [(pk, until) for pk, until in cursor.fetchall()]


def empty_receiver(
    *, receiver_id: int, lease: datetime, clock: Callable[[], datetime] = timezone.now
) -> None:
    """Send what is due to a receiver that was taken, until an update is not taken or the turn is
    over, and give the receiver back.
    """
    rows = Receiver.objects.select_related("subscriber__page__organization")
    receiver = rows.filter(pk=receiver_id).first()
    if receiver is None:
        return
    if not receiver.subscriber.page.is_public:
        Receiver.objects.filter(pk=receiver_id).update(last=F("newest"))
        Subscriber.objects.filter(pk=receiver_id).update(is_mail_due=False)
    elif receiver.subscriber.confirmed_at is None:
        _ask(receiver, clock())
    else:
        Subscriber.objects.filter(pk=receiver_id, is_mail_due=True).update(is_mail_due=False)
        _tell(receiver, clock)
    # Another sender has it by now if the lease is over.
    Receiver.objects.filter(pk=receiver_id, claimed_until=lease).update(claimed_until=None)


def _ask(receiver: Receiver, now: datetime) -> None:
    """Ask once, whatever comes of it: who asked may ask again."""
    subscriber, challenge = receiver.subscriber, secrets.token_urlsafe(24)
    try:
        body = _send(receiver, _question(receiver, challenge, now))
    except SendFailed as error:
        Receiver.objects.filter(pk=receiver.pk).update(last_error=error.message)
        return
    finally:
        Subscriber.objects.filter(pk=subscriber.pk).update(is_mail_due=False)
    is_webhook = subscriber.kind == SubscriberKind.WEBHOOK
    if is_webhook and payloads.is_answered(body, challenge):
        confirm(subscriber=subscriber, now=now)


def _question(receiver: Receiver, challenge: str, now: datetime) -> Request:
    subscriber, secret = receiver.subscriber, _secret(receiver)
    if subscriber.kind == SubscriberKind.SLACK:
        return payloads.slack_question(
            page=subscriber.page, url=secret["url"], confirm_url=confirm_url(subscriber)
        )
    return payloads.webhook_question(
        page=subscriber.page,
        secret=secret,
        links={
            "confirm_url": confirm_url(subscriber),
            "unsubscribe_url": subscription_url(subscriber),
        },
        challenge=challenge,
        at=int(now.timestamp()),
    )


def _tell(receiver: Receiver, clock: Callable[[], datetime]) -> None:
    deadline = time.monotonic() + TURN_SECONDS
    for update in _wanted(receiver):
        now = clock()
        try:
            _send(receiver, _message(receiver, update, now))
        except SendFailed as error:
            if not _failed(receiver, error, now):
                return
        else:
            _taken(receiver)
        _advance(receiver, update.pk)
        if time.monotonic() > deadline:
            return
    # Nothing is left of those that were posted until then.
    _advance(receiver, receiver.newest)


def _wanted(receiver: Receiver) -> Iterator[ReportUpdate]:
    """Return the next updates about what the receiver chose."""
    subscriber = receiver.subscriber
    chosen = set(subscriber.components.values_list("pk", flat=True))
    rows = ReportUpdate.objects.filter(
        report__page=subscriber.page, pk__gt=receiver.last, pk__lte=receiver.newest
    )
    rows = rows.select_related("report__page").prefetch_related("report__components")
    for update in rows.order_by("pk"):
        about = {one.pk for one in update.report.components.all()}
        if not chosen or not about or chosen & about:
            yield update


def _message(receiver: Receiver, update: ReportUpdate, now: datetime) -> Request:
    secret, link = _secret(receiver), subscription_url(receiver.subscriber)
    if receiver.subscriber.kind == SubscriberKind.SLACK:
        return payloads.slack_update(update=update, url=secret["url"], unsubscribe_url=link)
    at = int(now.timestamp())
    return payloads.webhook_update(update=update, secret=secret, unsubscribe_url=link, at=at)


def _secret(receiver: Receiver) -> dict[str, str]:
    try:
        return opened(receiver)
    except SecretUnreadable:
        raise SendFailed(UNREADABLE) from None


def _send(receiver: Receiver, request: Request) -> bytes:
    """Send a request and return the beginning of what a receiver that took it says."""
    answer = exchange(request, reach=reach_of_visitors())
    judge(answer, secrets_in(request, [_secret(receiver)["secret"]]))
    return answer.body


def _advance(receiver: Receiver, update_id: int) -> None:
    receiver.last = max(receiver.last, update_id)
    Receiver.objects.filter(pk=receiver.pk).update(last=receiver.last)


def _taken(receiver: Receiver) -> None:
    if receiver.failing_since is not None:
        receiver.failures, receiver.failing_since = 0, None
        receiver.next_at, receiver.last_error = None, ""
        _save(receiver)


def _failed(receiver: Receiver, error: SendFailed, now: datetime) -> bool:
    """Write that an update was not taken; return whether to go on with the next one."""
    receiver.failing_since = receiver.failing_since or now
    gone = SLACK_GONE if receiver.subscriber.kind == SubscriberKind.SLACK else {GONE}
    if error.status in gone or now - receiver.failing_since >= GIVE_UP:
        logger.info("receiver of a status page ended", extra={"receiver": receiver.pk})
        give_up(subscriber=receiver.subscriber, reason=error.message)
        return False
    receiver.last_error = error.message
    if not error.is_final:
        receiver.failures += 1
        receiver.next_at = now + wait_after(receiver.failures, asked=error.again_in)
    _save(receiver)
    return error.is_final


def _save(receiver: Receiver) -> None:
    receiver.save(update_fields=["failures", "failing_since", "next_at", "last_error"])
