"""Hourly cleanup of old sign-in links, outbox mail and ended sessions."""

import logging
from datetime import datetime, timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.accounts.models import OutgoingMail, SignInLink

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=30)
# Anyone can make sessions: a job must get through however many there are.
BATCH = 5_000


def clean_up(*, now: datetime) -> int:
    """Remove outbox mail and dead sign-in links after thirty days, and sessions that have ended.

    Outbox mail holds links that may still work, so it is kept no longer than needed. Returns how
    many rows were deleted.
    """
    long_ago = now - KEPT_FOR
    dead_links = Q(used_at__lt=long_ago) | Q(expires_at__lt=long_ago)
    theirs = Session.objects.filter(session_key=OuterRef("session_key"))
    removed = {
        "mail": OutgoingMail.objects.filter(created_at__lt=long_ago).delete()[0],
        "links": SignInLink.objects.filter(dead_links).delete()[0],
        "sessions": _remove_in_batches(Session.objects.filter(expire_date__lt=now)),
        "session_rows": _remove_in_batches(UserSession.objects.filter(~Exists(theirs))),
    }
    if any(removed.values()):
        logger.info("expired rows removed", extra=removed)
    return sum(removed.values())


def _remove_in_batches(rows: QuerySet[Any]) -> int:
    """Delete rows a batch at a time, so that one that is cut short has done something."""
    removed = 0
    while keys := list(rows.values_list("pk", flat=True)[:BATCH]):
        removed += rows.model._default_manager.filter(pk__in=keys).delete()[0]
    return removed
