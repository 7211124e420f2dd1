"""API tokens: service users with one role on one organization, workspace or Deployment.

A secret is shown once. It works as long as the person who made it could make it again: when that
person leaves, is deactivated or loses permissions, the secrets they have seen stop working, without
a list to maintain. Rotating makes a new secret, vouched for by the person who rotates.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import (
    ensure_applicable,
    ensure_can_delegate,
    grant,
    lock_memberships,
    revoke,
)
from apps.access.models import Role
from apps.access.queries import forget_permissions
from apps.access.scopes import Scoped, with_ancestors
from apps.accounts.models import User, UserKind
from apps.accounts.sign_in.adapter import SERVICE_DOMAIN
from apps.core.errors import Invalid, Refused
from apps.core.public_ids import public_id
from apps.organizations.models import ApiToken, ApiTokenSecret
from apps.organizations.tokens.queries import roles_of_tokens, tokens_on, tokens_within
from apps.organizations.tokens.signed import new_signed

LONGEST_GRACE = timedelta(days=7)


@transaction.atomic
def create_token(
    *,
    actor: User,
    on: Scoped,
    name: str,
    role: Role,
    expires_at: datetime | None,
    description: str = "",
) -> tuple[ApiToken, str]:
    """Make a token with a role on the object; return it and its secret, which is stored nowhere.

    Raises RightsExceeded when the role holds more than the actor does, Invalid when the name is
    taken there.
    """
    lock_memberships(on=on)
    name = _free_name(on, name)
    user = User(email=f"token-{secrets.token_hex(12)}{SERVICE_DOMAIN}", name=name)
    user.kind = UserKind.SERVICE
    user.set_unusable_password()
    user.save(force_insert=True)
    token = ApiToken.objects.create(
        user=user,
        scope=type(on).access_scope,
        name=name,
        description=description,
        created_by=actor,
        expires_at=expires_at,
    )
    grant(actor=actor, user=user, role=role, on=on, expires_at=expires_at)
    _record("token.created", actor, on, token, [None, role.name])
    return token, _make_secret(actor, token, on)


@transaction.atomic
def update_token(*, actor: User, token: ApiToken, on: Scoped, name: str, description: str) -> None:
    """Change name and description. Raises Invalid when the name is taken there."""
    lock_memberships(on=on)
    name = _free_name(on, name, but=token)
    if (name, description) == (token.name, token.description):
        return
    _record("token.updated", actor, on, token, [token.name, name])
    token.name, token.description = name, description
    token.save(update_fields=["name", "description"])
    token.user.name = name
    token.user.save(update_fields=["name"])


@transaction.atomic
def rotate_token(*, actor: User, token: ApiToken, on: Scoped, grace: timedelta) -> str:
    """Make a new secret and return it; the one before works for `grace` longer, at most a week.

    Raises RightsExceeded: the actor reads the secret, and so must hold the token's permissions.
    """
    lock_memberships(on=on)
    forget_permissions(actor)
    ensure_can_delegate(actor=actor, role=_role(token, on), on=on)
    ends_at = timezone.now() + min(grace, LONGEST_GRACE)
    longer = token.secrets.filter(Q(ends_at=None) | Q(ends_at__gt=ends_at))
    longer.update(ends_at=ends_at)
    _record("token.rotated", actor, on, token, ["one secret", "a new secret"])
    return _make_secret(actor, token, on)


@transaction.atomic
def revoke_token(*, actor: User, token: ApiToken, on: Scoped) -> None:
    """Revoke a token at once and permanently. Raises RightsExceeded, as revoking its role does."""
    lock_memberships(on=on)
    revoke(actor=actor, user=token.user, on=on)
    _end(actor, token, on)


@transaction.atomic
def revoke_tokens_in(*, actor: User | None, on: Scoped) -> None:
    """Revoke every token of an object that is about to be deleted, and of what lies in it. No actor
    means that the portal deletes it by itself.
    """
    lock_memberships(on=on)
    for token, place in tokens_within(on=on):
        _end(actor, token, place)


def _free_name(on: Scoped, name: str, *, but: ApiToken | None = None) -> str:
    name = " ".join(name.split())
    others = tokens_on(on=on).filter(name__iexact=name)
    if but is not None:
        others = others.exclude(pk=but.pk)
    if others.exists():
        raise Invalid(f"{on} already has a token called {name}.", field="name")
    return name


def _end(actor: User | None, token: ApiToken, on: Scoped) -> None:
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now())
    token.user.is_active = False
    token.user.save(update_fields=["is_active"])
    token.secrets.all().delete()
    _record("token.revoked", actor, on, token, ["usable", "revoked"])


def _role(token: ApiToken, on: Scoped) -> Role:
    role = roles_of_tokens(on=on).get(token.user_id)
    if role is None:
        raise Refused(f"The token {token} has expired. Create a new one.")
    ensure_applicable(role=role, on=on)
    return role


def _make_secret(actor: User, token: ApiToken, on: Scoped) -> str:
    token_id = public_id("token", token.pk)
    places = {
        f"{type(one).access_scope}Id": public_id(type(one).access_scope, one.pk)
        for one in with_ancestors(on)
    }
    named = {"apiTokenId": token_id, **places}
    claims = {
        "apiTokenId": token_id,
        "scope": token.scope,
        "permissions": [f"{kind}:{one}" for kind, one in named.items()],
    }
    secret = new_signed(claims=claims, expires_at=token.expires_at)
    ApiTokenSecret.objects.create(
        token=token, digest=secret.digest, beginning=secret.beginning, made_by=actor
    )
    return secret.text


def _record(
    action: str, actor: User | None, on: Scoped, token: ApiToken, change: list[Any]
) -> None:
    record_on(action=action, actor=actor, on=on, changes={f"API token {token.name}": change})
