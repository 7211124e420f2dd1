"""Changes of second factors, written to the audit log of each organization that the person is in.

allauth stores the factors and signals changes; it sends the mail itself.
"""

from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator

from apps.accounts.models import User
from apps.audit.services import record
from apps.organizations.models import OrganizationGrant

KINDS = {
    Authenticator.Type.TOTP: "authenticator app",
    Authenticator.Type.RECOVERY_CODES: "recovery codes",
    Authenticator.Type.WEBAUTHN: "passkey",
}


def connect() -> None:
    """Connect to allauth's signals. Called once, when the app is ready."""
    signals.authenticator_added.connect(_added, dispatch_uid="audit second factor added")
    signals.authenticator_removed.connect(_removed, dispatch_uid="audit second factor removed")
    signals.authenticator_reset.connect(_replaced, dispatch_uid="audit second factor replaced")


def _added(sender: Any, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    _record("second_factor.added", user, authenticator, [None, "added"], actor=user)


def _removed(sender: Any, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    actor = kwargs.get("actor", user)  # None where the portal itself removes it
    _record("second_factor.removed", user, authenticator, ["there", None], actor=actor)


def _replaced(sender: Any, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    _record("second_factor.replaced", user, authenticator, ["old ones", "new ones"], actor=user)


def _record(
    action: str,
    user: User,
    authenticator: Authenticator,
    change: list[Any],
    *,
    actor: User | None,
) -> None:
    grants = OrganizationGrant.objects.live().filter(user=user)
    organizations: list[int | None] = sorted(grants.values_list("content_object", flat=True))
    for organization_id in organizations or [None]:
        record(
            action=action,
            actor=actor,
            organization_id=organization_id,
            target_kind="person",
            target_id=user.pk,
            target_label=user.email,
            changes={KINDS[authenticator.type]: change},
        )
