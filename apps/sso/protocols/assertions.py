"""SAML assertions sign in once: each is recorded in the database before it is accepted."""

from datetime import datetime

from allauth.socialaccount.providers.base import ProviderException
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.sso.models import SSOConnection, UsedAssertion

LONGEST_ID = 256


def spend_assertion(*, connection: SSOConnection, assertion_id: str, expires_at: datetime) -> None:
    """Record that an assertion was used; raises ProviderException if it was used before."""
    if not assertion_id or len(assertion_id) > LONGEST_ID:
        raise ProviderException("The assertion has no usable id.")
    try:
        with transaction.atomic():
            UsedAssertion.objects.create(
                connection=connection, assertion_id=assertion_id, expires_at=expires_at
            )
    except IntegrityError:
        raise ProviderException("This assertion was used already.") from None


def forget_ended_assertions() -> int:
    """Remove assertions that are refused for their age by now; return how many."""
    removed, _ = UsedAssertion.objects.filter(expires_at__lt=Now()).delete()
    return removed
