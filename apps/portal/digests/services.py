"""Asking for a digest, ending it, and sending those that are due."""

import logging
import smtplib
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from uuid import UUID

from django.db import transaction

from apps.accounts.models import User
from apps.alerts.evaluation.deadlines import deadlines_between
from apps.portal.digests.mails import mail_of, zone_of
from apps.portal.models import Digest

logger = logging.getLogger(__name__)

AGAIN = timedelta(minutes=15)
# Another job goes on where this one stops.
MOST_AT_ONCE = 500


def choose_digest(*, user: User, period: str, hour: int, now: datetime) -> None:
    """Let a person have a digest at an hour of their time zone; an empty `period` ends it."""
    if not period:
        Digest.objects.filter(user=user).delete()
        return
    wanted = Digest(user=user, period=period, hour=hour)
    Digest.objects.update_or_create(
        user=user,
        defaults={"period": period, "hour": hour, "next_at": next_after(wanted, now)},
    )


def end_digest(*, key: UUID) -> bool:
    """End a digest by the key in its mails, and return whether there was one."""
    deleted, _ = Digest.objects.filter(key=key).delete()
    return deleted > 0


def send_due(*, now: datetime) -> int:
    """Send the digests that are due and return how many left.

    The next time is written first: a process that dies here sends one too few, not two. What the
    mail server does not take is tried again until the next one would be due.
    """
    return sum(_send(digest, now) for digest in _take(now))


def _take(now: datetime) -> Iterator[Digest]:
    for _ in range(MOST_AT_ONCE):
        with transaction.atomic():
            due = Digest.objects.filter(next_at__lte=now).order_by("next_at")
            digest = (
                due.select_for_update(of=("self",), skip_locked=True).select_related("user").first()
            )
            if digest is None:
                return
            digest.next_at = next_after(digest, now)
            digest.save(update_fields=["next_at"])
        yield digest


def _send(digest: Digest, now: datetime) -> bool:
    mail = mail_of(digest, now=now) if digest.user.is_active else None
    if mail is None:
        return False
    try:
        mail.send()
    except (smtplib.SMTPException, OSError):
        logger.warning("digest not sent", exc_info=True, extra={"user": digest.user_id})
        again = min(now + AGAIN, digest.next_at)
        Digest.objects.filter(pk=digest.pk).update(next_at=again)
        return False
    Digest.objects.filter(pk=digest.pk).update(sent_at=now)
    return True


def next_after(digest: Digest, now: datetime) -> datetime:
    """Return when a digest is due next, by the clocks of its person."""
    days = [0] if digest.period == Digest.Period.WEEKLY else list(range(7))
    found = deadlines_between(
        due_at=time(digest.hour),
        zone=zone_of(digest.user).key,
        weekdays=days,
        after=now,
        until=now + timedelta(days=9),
    )
    return next(found)
