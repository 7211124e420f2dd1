"""Secrets of a form that was sent back for correction, kept for an hour. See `KeptSecret`."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction

from apps.accounts.models import User
from apps.clusters.models import KeptSecret
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.encryption.keys import key_ring
from apps.organizations.models import Organization

KEPT_FOR = timedelta(hours=1)


@transaction.atomic
def keep_secrets(
    *,
    actor: User,
    organization: Organization,
    form: str,
    secrets: Mapping[str, tuple[str, str]],
    now: datetime,
) -> None:
    """Keep secrets of a form, each with where it is sent to, in place of what was kept of it."""
    forget_secrets(actor=actor, organization=organization, form=form)
    for field, (value, bound_to) in secrets.items():
        row = KeptSecret(
            user=actor,
            organization=organization,
            form=form,
            field=field,
            bound_to=bound_to,
            created_at=now,
        )
        row.sealed = key_ring().seal(value=value, identity=row.identity)
        row.save(force_insert=True)


def kept_secrets(
    *, actor: User, organization: Organization, form: str, now: datetime
) -> dict[str, tuple[str, str]]:
    """Return plaintext and `bound_to` of what is kept of a form, by field. It never leaves the
    server.
    """
    rows = KeptSecret.objects.filter(
        user=actor, organization=organization, form=form, created_at__gt=now - KEPT_FOR
    )
    found = {}
    for row in rows:
        try:
            value = key_ring().open(sealed=bytes(row.sealed), identity=row.identity)
        except SecretUnreadable:
            # Its key was taken out of the ring within the hour: it is typed again.
            continue
        found[row.field] = (value, row.bound_to)
    return found


def forget_secrets(*, actor: User, organization: Organization, form: str) -> None:
    """Delete what is kept of a form."""
    KeptSecret.objects.filter(user=actor, organization=organization, form=form).delete()


def remove_expired(*, now: datetime) -> int:
    """Delete what has expired, and return how many rows that were."""
    n_removed, _ = KeptSecret.objects.filter(created_at__lte=now - KEPT_FOR).delete()
    return n_removed
