"""Daily cleanup of old invitations, and of service users whose token holds no role any more."""

import logging
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q

from apps.access.scopes import grant_model, models_with_roles
from apps.accounts.models import User, UserKind
from apps.organizations.models import Invitation

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=30)


def clean_up(*, now: datetime) -> int:
    """Remove invitations thirty days after they were accepted, withdrawn or expired.

    The audit log keeps who invited whom. Returns how many were deleted.
    """
    long_ago = now - KEPT_FOR
    dead = Q(accepted_at__lt=long_ago) | Q(revoked_at__lt=long_ago) | Q(expires_at__lt=long_ago)
    removed, _ = Invitation.objects.filter(dead).delete()
    if removed:
        logger.info("expired rows removed", extra={"invitations": removed})
    return removed


def close_idle_service_users() -> int:
    """Deactivate the service users of tokens whose role has expired or whose object is gone.

    They have no access already; returns how many were deactivated.
    """
    holding = Q()
    for model in models_with_roles():
        holding |= Q(Exists(grant_model(model).objects.live().filter(user=OuterRef("pk"))))
    tokens = User.objects.filter(kind=UserKind.SERVICE, is_active=True)
    return tokens.exclude(holding).update(is_active=False)
