"""One turn of one receiver: what is new is sent until nothing is, or the turn is over.

A receiver is taken by moving `next_at`, so two workers never send to one. What is sent twice after
a crash is the same sample at the same time, which receivers drop.
"""

import logging
import random
import time
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.core.outbound.guarded_http import Answer, ExchangeFailed, Guard, Reach, post
from apps.dataplane.untrusted import masked, masks, text_of
from apps.observability.history.metrics import RAW
from apps.observability.remote_write.encoding import HEADERS, TimeSeries, body_of
from apps.observability.remote_write.models import Receiver
from apps.observability.remote_write.reading import News, news_of
from apps.observability.remote_write.services import Access, access_of

logger = logging.getLogger(__name__)

SERIES_AT_ONCE = 2_000
SECONDS, MOST_BYTES, TURN_SECONDS, LEASE_SECONDS = 10.0, 4096, 20.0, 60
LONGEST_WAIT = 600.0
LOST_KEY = "The portal cannot read the secret of this receiver any more. Enter it again."
REDIRECTED = "It answered with a redirect. The portal follows none: enter the address it leads to."
# Busy, or in trouble: what was sent is good, and is sent again later.
TRY_AGAIN = frozenset({408, 425, 429})
_TAKE = """
    WITH chosen AS (
        SELECT organization_id FROM observability_receiver
        WHERE next_at <= statement_timestamp() ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE observability_receiver receiver
    SET next_at = statement_timestamp() + %s * interval '1 second'
    FROM chosen
    WHERE receiver.organization_id = chosen.organization_id
    RETURNING receiver.organization_id
"""


class NotSent(Exception):
    """A request did not arrive. With `is_refused` the receiver wants none of what was sent."""

    def __init__(self, reason: str, *, is_refused: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_refused = reason[:300], is_refused


def send_due(*, seconds: float = TURN_SECONDS) -> int:
    """Send to the receivers that are due, until none is or the time is over; return how many."""
    deadline, count = time.monotonic() + seconds, 0
    while time.monotonic() < deadline and (pk := _take()) is not None:
        send(Receiver.objects.get(pk=pk), now=timezone.now(), deadline=deadline)
        count += 1
    return count


def _take() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [LEASE_SECONDS])
        row = cursor.fetchone()
    return int(row[0]) if row else None


def send(receiver: Receiver, *, now: datetime, deadline: float) -> None:
    """Send what is new to a receiver, and write what came of it."""
    access, sent = access_of(receiver), 0
    try:
        if access is None:
            raise NotSent(LOST_KEY)
        while True:
            news = news_of(organization_id=receiver.pk, sent_until=receiver.sent_until, now=now)
            _send_all(access, news)
            sent += sum(len(one.samples) for one in news.series)
            receiver.sent_until = news.until
            if news.is_all or time.monotonic() > deadline:
                break
    except NotSent as error:
        _failed(receiver, error, now)
        return
    receiver.sent_at, receiver.n_samples = now, sent
    receiver.failures, receiver.failing_since, receiver.last_error = 0, None, ""
    receiver.next_at = now + timedelta(seconds=RAW)
    _save(receiver)


def _failed(receiver: Receiver, error: NotSent, now: datetime) -> None:
    receiver.failures += 1
    receiver.failing_since = receiver.failing_since or now
    receiver.last_error = error.reason
    if error.is_refused:
        # The same would be refused for ever: it goes on with what comes from now on.
        receiver.sent_until = int(now.timestamp()) // RAW
    wait = min(RAW * 2 ** min(receiver.failures - 1, 5), LONGEST_WAIT)
    receiver.next_at = now + timedelta(seconds=wait * (1 + random.random() / 5))  # noqa: S311 - spreads load
    logger.info("measurements were not sent", extra={"organization": receiver.pk})
    _save(receiver)


def _save(receiver: Receiver) -> None:
    names = ("sent_until", "sent_at", "n_samples", "failures", "failing_since", "last_error")
    # What a person entered meanwhile stays.
    found = Receiver.objects.filter(pk=receiver.pk, sealed=receiver.sealed)
    found.update(next_at=receiver.next_at, **{name: getattr(receiver, name) for name in names})


def _send_all(access: Access, news: News) -> None:
    for at in range(0, len(news.series), SERIES_AT_ONCE):
        _post(access, news.series[at : at + SERIES_AT_ONCE])


def _post(access: Access, series: Sequence[TimeSeries]) -> None:
    reach = Reach(
        networks=settings.ALERT_NETWORKS,
        setting="PORTAL_ALERT_NETWORKS",
        allows_http=settings.ALERTS_ALLOW_HTTP,
    )
    guard = Guard(reach=reach, seconds=SECONDS, most_bytes=MOST_BYTES)
    try:
        answer = post(access.url, body=body_of(series), headers=_headers(access), guard=guard)
    except ExchangeFailed as error:
        raise NotSent(error.message) from None
    _judge(answer, access)


def _headers(access: Access) -> dict[str, str]:
    if access.user:
        pair = b64encode(f"{access.user}:{access.secret}".encode()).decode()
        return {**HEADERS, "Authorization": f"Basic {pair}"}
    if access.secret:
        return {**HEADERS, "Authorization": f"Bearer {access.secret}"}
    return dict(HEADERS)


def _judge(answer: Answer, access: Access) -> None:
    if 200 <= answer.status < 300:
        return
    if 300 <= answer.status < 400:
        raise NotSent(REDIRECTED)
    secrets = masks([access.secret, access.url])
    said = text_of(masked(answer.body.decode(errors="replace"), secrets), 200)
    is_refused = 400 <= answer.status < 500 and answer.status not in {401, 403, 404, *TRY_AGAIN}
    raise NotSent(f"It answered {answer.status} {said}".strip(), is_refused=is_refused)
