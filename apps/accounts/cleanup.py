"""Daily cleanup of old sign-in links, outbox mail and ended sessions."""

import logging
from datetime import datetime, timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, Q

from apps.accounts.models import OutgoingMail, SignInLink

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=30)


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
        "sessions": Session.objects.filter(expire_date__lt=now).delete()[0],
        "session_rows": UserSession.objects.filter(~Exists(theirs)).delete()[0],
    }
    if any(removed.values()):
        logger.info("expired rows removed", extra=removed)
    return sum(removed.values())
