"""Mails to subscribers, in batches.

    questions (20 a turn) ──▶ the oldest mail run that is due (100 a turn, 20 seconds)

A mail run has a cursor over subscribers, written every ten mails, and a lease. When the mail server
is away the run waits, longer each time up to 15 minutes, and goes on where it was: a process that
dies sends ten mails twice at most. An address that the server refuses is skipped, and ended after
five refusals in a row.
"""

import logging
import smtplib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import Any

from django.core.mail import EmailMessage, get_connection
from django.db import connection as database
from django.db.models import F
from django.template.loader import render_to_string

from apps.status_pages.reports.models import ReportUpdate, Stage
from apps.status_pages.setup.addresses import page_url
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions.links import confirm_url, subscription_url
from apps.status_pages.subscriptions.models import Mailing, Subscriber, SubscriberKind

logger = logging.getLogger(__name__)

QUESTIONS, BATCH, CURSOR_EVERY = 20, 100, 10
TURN_SECONDS, LEASE = 20.0, timedelta(seconds=120)
FIRST_WAIT, LONGEST_WAIT = 30.0, 900.0
MOST_REFUSALS = 5
AWAY = (OSError, smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError)
_TAKE = """
    UPDATE status_pages_mailing mailing SET claimed_until = %s
    FROM (
        SELECT one.id FROM status_pages_mailing one
        WHERE one.done_at IS NULL AND one.next_at <= %s
            AND (one.claimed_until IS NULL OR one.claimed_until <= %s)
        ORDER BY one.next_at, one.id LIMIT 1 FOR UPDATE OF one SKIP LOCKED
    ) chosen
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
            sent += _send(_question(subscriber, server))
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
        cursor.execute(_TAKE, [now + LEASE, now, now])
        row = cursor.fetchone()
    if row is None:
        return 0
    rows = Mailing.objects.select_related("update__report__page")
    mailing = rows.get(pk=row[0])
    return _go_on(mailing, now)


def _go_on(mailing: Mailing, now: datetime) -> int:
    """Send the next mails of a run that was taken, write how far it is, and give it back."""
    report, before = mailing.update.report, mailing.sent
    wanted = set(report.components.values_list("pk", flat=True))
    batch = _next(mailing) if report.page.is_public else []
    deadline = time.monotonic() + TURN_SECONDS
    done = 0
    try:
        with _server() if batch else nullcontext() as server:
            for done, subscriber in enumerate(batch, 1):
                _tell(mailing, subscriber, wanted, server)
                if done % CURSOR_EVERY == 0:
                    _save(mailing)
                if time.monotonic() > deadline:
                    break
    except MailServerAway:
        _wait(mailing, now)
        return mailing.sent - before
    mailing.failures, mailing.error = 0, ""
    if done == len(batch) and len(batch) < BATCH:
        mailing.done_at = now
    mailing.claimed_until = None
    _save(mailing)
    return mailing.sent - before


def _next(mailing: Mailing) -> Sequence[Subscriber]:
    rows = Subscriber.objects.filter(
        page=mailing.update.report.page,
        kind=SubscriberKind.EMAIL,
        confirmed_at__isnull=False,
        pk__gt=mailing.last,
        pk__lte=mailing.until,
    )
    return list(rows.prefetch_related("components").order_by("pk")[:BATCH])


def _tell(mailing: Mailing, subscriber: Subscriber, wanted: set[int], server: Any) -> None:
    chosen = {one.pk for one in subscriber.components.all()}
    if not chosen or not wanted or chosen & wanted:
        if _send(_message(mailing.update, subscriber, server)):
            mailing.sent += 1
            if subscriber.refusals:
                Subscriber.objects.filter(pk=subscriber.pk).update(refusals=0)
        else:
            mailing.refused += 1
            _refuse(subscriber)
    mailing.last = subscriber.pk


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


def _question(subscriber: Subscriber, server: Any) -> EmailMessage:
    is_known = subscriber.confirmed_at is not None
    context = {
        "page": subscriber.page,
        "url": page_url(subscriber.page),
        "confirm_url": confirm_url(subscriber),
        "subscription_url": subscription_url(subscriber),
    }
    name = "known" if is_known else "question"
    body = render_to_string(f"status_pages/mail/{name}.txt", context)
    verb = "You are subscribed to" if is_known else "Confirm your subscription to"
    return _mail(f"{verb} {subscriber.page.name}", body, subscriber, server)


def _message(update: ReportUpdate, subscriber: Subscriber, server: Any) -> EmailMessage:
    report = update.report
    context = {
        "report": report,
        "update": update,
        "stage": Stage(update.stage).label,
        "names": ", ".join(one.name for one in report.components.all()),
        "url": f"{page_url(report.page)}history.html#{report.key}",
        "page": report.page,
        "subscription_url": subscription_url(subscriber),
    }
    body = render_to_string("status_pages/mail/update.txt", context)
    subject = f"[{report.page.name}] {Stage(update.stage).label}: {report.title}"
    return _mail(subject, body, subscriber, server)


def _mail(subject: str, body: str, subscriber: Subscriber, server: Any) -> EmailMessage:
    mail = EmailMessage(
        " ".join(subject.split())[:200], body, to=[subscriber.email], connection=server
    )
    mail.extra_headers = {
        # RFC 8058: mail programs end the subscription by a POST, without a page.
        "List-Unsubscribe": f"<{subscription_url(subscriber)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
    }
    return mail
