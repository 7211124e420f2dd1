"""What an account has made ends with the ways into it, where its address was not proved.

An API token's secret and an invitation act for the person who made them, long after. So do
provisioning, single sign-on and git: see the modules of the same name.
"""

from typing import Any

from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from django.apps import apps as installed
from django.db.models.functions import Now

from apps.access.apps import MODELS
from apps.access.grants.audit_labels import record_on
from apps.access.scopes import grant_model
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.organizations.models import ApiToken, ApiTokenSecret, Invitation, PersonalToken
from apps.organizations.tokens.logins import end_logins, logins_of


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="end secrets and invitations")
    for changed in (authenticator_added, authenticator_removed, authenticator_reset):
        changed.connect(_follow_second_factor, dispatch_uid="sign programs out")


def _follow_second_factor(sender: Any, user: User, **_: Any) -> None:
    """Sign programs out that were signed in by other proofs than the ones that count now."""
    end_logins(user=user)


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    return [*_end_secrets(user), *_end_own(user), *_withdraw_invitations(user)]


def _end_secrets(user: User) -> list[str]:
    theirs = ApiTokenSecret.objects.filter(made_by=user)
    tokens = list(ApiToken.objects.filter(secrets__in=theirs, revoked_at=None).distinct())
    for token in tokens:
        place = _place_of(token)
        if place is not None:
            change = {f"API token {token.name}": ["usable", f"to be rotated: {user.email}"]}
            record_on(action="token.secret_ended", actor=None, on=place, changes=change)
    theirs.delete()
    return [f"the secret of the API token {token.name}" for token in tokens]


def _end_own(user: User) -> list[str]:
    theirs = list(PersonalToken.objects.filter(user=user))
    PersonalToken.objects.filter(user=user).delete()
    programs = [f"the sign-in of {one.program}" for one in logins_of(user=user)]
    end_logins(user=user)
    return [*(f"the personal token {token.name}" for token in theirs), *programs]


def _place_of(token: ApiToken) -> Any:
    model: Any = installed.get_model(MODELS[token.scope])  # type: ignore[index]  # one of SCOPES
    held = grant_model(model).objects.filter(user=token.user_id).select_related("content_object")
    grant = held.first()
    return grant.content_object if grant else None


def _withdraw_invitations(user: User) -> list[str]:
    waiting = Invitation.objects.filter(invited_by=user, accepted_at=None, revoked_at=None)
    found = list(waiting.select_related("organization", "workspace"))
    for one in found:
        change = {one.email: ["invited", None]}
        place = one.workspace or one.organization
        record_on(action="invitation.revoked", actor=None, on=place, changes=change)
    waiting.update(revoked_at=Now())
    return [f"the invitation of {one.email}" for one in found]
