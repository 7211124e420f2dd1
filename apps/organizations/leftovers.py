"""Invitations that nobody can accept any more, cleared away once a day."""

import logging
from datetime import datetime, timedelta

from django.db.models import Q

from apps.organizations.models import Invitation

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=30)


def remove_leftovers(*, now: datetime) -> int:
    """Remove invitations thirty days after they were accepted, withdrawn or expired.

    The audit log keeps who invited whom. Returns how many went.
    """
    long_ago = now - KEPT_FOR
    dead = Q(accepted_at__lt=long_ago) | Q(revoked_at__lt=long_ago) | Q(expires_at__lt=long_ago)
    removed, _ = Invitation.objects.filter(dead).delete()
    if removed:
        logger.info("leftovers removed", extra={"invitations": removed})
    return removed
