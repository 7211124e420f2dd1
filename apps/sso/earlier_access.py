"""What single sign-on and provisioning do in the name of an account ends with the ways into it, if
its address was not proved: whoever had that account before must not act for its owner.
"""

from typing import Any

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.sso.models import ScimToken, SSOConnection


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="end provisioning and approvals")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    return [*_revoke_tokens(user), *_withdraw_answers(user)]


def _revoke_tokens(user: User) -> list[str]:
    found = list(ScimToken.objects.filter(created_by=user).select_related("organization"))
    for one in found:
        changes = {f"SCIM token {one}": ["usable", "revoked"]}
        record_on(action="scim_token.revoked", actor=None, on=one.organization, changes=changes)
        one.delete()
    return [f"the SCIM token {one}" for one in found]


def _withdraw_answers(user: User) -> list[str]:
    """Take back what the account answers for: such a connection reaches by itself only people who
    can do no more than newcomers.
    """
    fields = ("configured_by", "approved_by")
    words = []
    for one in SSOConnection.objects.select_related("organization"):
        theirs = [field for field in fields if getattr(one, f"{field}_id") == user.pk]
        if not theirs:
            continue
        for field in theirs:
            setattr(one, field, None)
        one.approved_at, one.addresses_verified_because = None, ""
        one.save(update_fields=[*fields, "approved_at", "addresses_verified_because"])
        changes = {"connection": [one.name, "not approved"]}
        record_on(
            action="sso_connection.unapproved", actor=None, on=one.organization, changes=changes
        )
        words.append(f"the answer for the connection {one.name}")
    return words
