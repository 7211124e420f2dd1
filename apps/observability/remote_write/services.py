"""Choosing, changing and removing the receiver of an organization. Secrets are sealed, written and
never shown.
"""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.encryption.keys import key_ring
from apps.core.errors import Invalid
from apps.core.outbound.guarded_http import parts_of_address
from apps.observability.remote_write.models import Receiver
from apps.organizations.models import Organization

WRONG = (
    "Enter an address that begins with https://, such as "
    "https://prometheus.example.org/api/v1/write."
)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a receiver is reached: with `user` a password, without one a bearer token, or nothing."""

    url: str
    user: str = ""
    secret: str = ""


@transaction.atomic
def save_receiver(*, actor: User, organization: Organization, entered: Access) -> Receiver:
    """Choose or change the receiver. An empty address or secret keeps the one that is stored, if
    the host and the user stay the same. Raises Invalid.
    """
    known = Receiver.objects.select_for_update().filter(pk=organization.pk).first()
    before = access_of(known) if known else None
    url = entered.url or (before.url if before else "")
    host = checked_host(url)
    is_same = before is not None and (host, entered.user) == (_host(before.url), before.user)
    secret = entered.secret or (before.secret if before and is_same else "")
    if entered.user and not secret:
        raise Invalid("Enter the password.", field="secret")
    receiver = known or Receiver(organization=organization, created_by=actor)
    receiver.host, receiver.user = host, entered.user
    sealed = json.dumps({"url": url, "user": entered.user, "secret": secret})
    receiver.sealed = key_ring().seal(value=sealed, identity=receiver.identity("sealed"))
    receiver.next_at, receiver.failures = timezone.now(), 0
    receiver.failing_since, receiver.last_error = None, ""
    receiver.save()
    changes = {"receiver": [known and (before and _host(before.url)), host]}
    if entered.secret:
        changes["secret"] = ["replaced", "replaced"]
    record_on(action="remote_write.saved", actor=actor, on=organization, changes=changes)
    return receiver


@transaction.atomic
def remove_receiver(*, actor: User, receiver: Receiver) -> None:
    """Send no more."""
    record_on(
        action="remote_write.removed",
        actor=actor,
        on=receiver.organization,
        changes={"receiver": [receiver.host, None]},
    )
    receiver.delete()


def access_of(receiver: Receiver) -> Access | None:
    """Open what is sealed of a receiver, None where the key was lost."""
    try:
        text = key_ring().open(sealed=bytes(receiver.sealed), identity=receiver.identity("sealed"))
    except SecretUnreadable:
        return None
    return Access(**json.loads(text))


def checked_host(url: str) -> str:
    """Return the host of an address. Raises Invalid for an address that is of no use."""
    parts = parts_of_address(url, allows_http=settings.ALERTS_ALLOW_HTTP)
    if parts is None:
        raise Invalid(WRONG, field="url")
    if parts.username or parts.password:
        raise Invalid("Leave the user and the password out of the address.", field="url")
    return parts.netloc[:253]


def _host(url: str) -> str:
    return urlsplit(url).netloc[:253]
