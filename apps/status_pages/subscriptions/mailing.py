"""Mails to subscribers, in batches.

    questions (20 a turn) ──▶ the oldest mail run that is due (100 a turn, 20 seconds)

A mail run has a cursor over subscribers, written after each mail, and a lease. A process that dies
between sending and writing sends that one mail again, with the same Message-ID. When the mail
server is away the run waits, longer each time up to 15 minutes, and goes on where it was. Runs take
turns, so that a small one does not wait for a large one, and no more mails leave a minute than
`PORTAL_STATUS_MAILS_PER_MINUTE`. An address that the server refuses is skipped, and ended after
five refusals in a row.
"""

import logging
import smtplib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import connection as database
from django.db.models import F

from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions.mails import UpdateMail, question_mail
from apps.status_pages.subscriptions.models import Mailing, Subscriber, SubscriberKind

logger = logging.getLogger(__name__)

QUESTIONS, BATCH = 20, 100
TURN_SECONDS, LEASE = 20.0, timedelta(seconds=120)
FIRST_WAIT, LONGEST_WAIT = 30.0, 900.0
MOST_REFUSALS = 5
AWAY = (OSError, smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError)
_TAKE = """
    WITH chosen AS (
        SELECT one.id FROM status_pages_mailing one
        WHERE one.done_at IS NULL AND one.next_at <= %s
            AND (one.claimed_until IS NULL OR one.claimed_until <= %s)
        ORDER BY one.next_at, one.id LIMIT 1 FOR UPDATE OF one SKIP LOCKED
    )
    UPDATE status_pages_mailing mailing SET claimed_until = %s
    FROM chosen
    WHERE mailing.id = chosen.id RETURNING mailing.id
"""


class MailServerAway(Exception):  # noqa: N818 - a state of the mail server
    """The mail server does not answer, or refuses everything for now."""


def send_batch(*, now: datetime) -> int:
    """Send what is due, as much as one turn may; return how many mails left.

    Raises MailServerAway when a question cannot be sent; a mail run waits by itself.
    """
    return _send_questions() + _send_run(now)


def _send_questions() -> int:
    """Ask those who were subscribed whether they want it; return how many mails left."""
    public = Subscriber.objects.filter(
        kind=SubscriberKind.EMAIL,
        is_mail_due=True,
        page__is_on=True,
        page__audience=StatusPage.Audience.PUBLIC,
    )
    due = list(public.select_related("page").order_by("pk")[:QUESTIONS])
    if not due:
        return 0
    sent = 0
    with _server() as server:
        for subscriber in due:
            sent += _send(question_mail(subscriber, server))
            Subscriber.objects.filter(pk=subscriber.pk).update(is_mail_due=False)
    return sent


@contextmanager
def _server() -> Iterator[Any]:
    """Open one connection for several mails. Raises MailServerAway."""
    server = get_connection()
    try:
        server.open()
    except AWAY:
        raise MailServerAway from None
    try:
        yield server
    finally:
        with suppress(*AWAY):
            server.close()


def _send_run(now: datetime) -> int:
    with database.cursor() as cursor:
        cursor.execute(_TAKE, [now, now, now + LEASE])
        row = cursor.fetchone()
    if row is None:
        return 0
    rows = Mailing.objects.select_related("update__report__page")
    mailing = rows.get(pk=row[0])
    return _go_on(mailing, now)


def _go_on(mailing: Mailing, now: datetime) -> int:
    """Send the next mails of a run that was taken, write how far it is, and give it back."""
    before, most = mailing.sent, _most_at_once()
    batch = _next(mailing, most) if mailing.update.report.page.is_public else []
    try:
        done = _send_to(batch, mailing) if batch else 0
    except MailServerAway:
        _wait(mailing, now)
        return mailing.sent - before
    mailing.failures, mailing.error = 0, ""
    if done == len(batch) and len(batch) < most:
        mailing.done_at = now
    mailing.claimed_until = None
    _pace(mailing, now + timedelta(minutes=done / settings.STATUS_MAILS_PER_MINUTE))
    return mailing.sent - before


def _send_to(batch: Sequence[Subscriber], mailing: Mailing) -> int:
    """Mail to subscribers until the turn is over; return to how many. Raises MailServerAway."""
    mail, deadline = UpdateMail.of(mailing.update), time.monotonic() + TURN_SECONDS
    with _server() as server:
        for done, subscriber in enumerate(batch, 1):
            _tell(mailing, subscriber, mail, server)
            if time.monotonic() > deadline:
                return done
    return len(batch)


def _pace(mailing: Mailing, resumes_at: datetime) -> None:
    """Let every run wait for the rate, and this one be the last of them."""
    waiting = Mailing.objects.filter(done_at=None, next_at__lt=resumes_at)
    waiting.update(next_at=resumes_at)
    mailing.next_at = resumes_at + timedelta(milliseconds=1)
    _save(mailing)


def _most_at_once() -> int:
    """Return how many mails of a run leave in one turn: those of a second."""
    return min(BATCH, max(1, settings.STATUS_MAILS_PER_MINUTE // 60))


def _next(mailing: Mailing, most: int) -> Sequence[Subscriber]:
    rows = Subscriber.objects.filter(
        page=mailing.update.report.page,
        kind=SubscriberKind.EMAIL,
        confirmed_at__isnull=False,
        pk__gt=mailing.last,
        pk__lte=mailing.until,
    )
    return list(rows.prefetch_related("components").order_by("pk")[:most])


def _tell(mailing: Mailing, subscriber: Subscriber, mail: UpdateMail, server: Any) -> None:
    if mail.is_wanted_by(subscriber):
        if _send(mail.to(subscriber, server)):
            mailing.sent += 1
            if subscriber.refusals:
                Subscriber.objects.filter(pk=subscriber.pk).update(refusals=0)
        else:
            mailing.refused += 1
            _refuse(subscriber)
    mailing.last = subscriber.pk
    _save(mailing)


def _refuse(subscriber: Subscriber) -> None:
    if subscriber.refusals + 1 >= MOST_REFUSALS:
        subscriber.delete()
        return
    Subscriber.objects.filter(pk=subscriber.pk).update(refusals=F("refusals") + 1)


def _wait(mailing: Mailing, now: datetime) -> None:
    mailing.failures += 1
    seconds = min(FIRST_WAIT * 2 ** min(mailing.failures - 1, 10), LONGEST_WAIT)
    mailing.next_at, mailing.claimed_until = now + timedelta(seconds=seconds), None
    mailing.error = "The mail server does not answer, or refused the connection."
    logger.warning("mail run waits", extra={"mailing": mailing.pk, "failures": mailing.failures})
    _save(mailing)


def _save(mailing: Mailing) -> None:
    fields = ["last", "sent", "refused", "failures", "error", "next_at", "claimed_until", "done_at"]
    mailing.save(update_fields=fields)


def _send(message: EmailMessage) -> bool:
    """Send one mail; return False when the server refuses its address. Raises MailServerAway."""
    try:
        return bool(message.send())
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        if all(400 <= code < 500 for code in codes):
            raise MailServerAway from None
        return False
    except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
        if 400 <= error.smtp_code < 500:
            raise MailServerAway from None
        return False
    except AWAY:
        raise MailServerAway from None
