"""Reads about API tokens, and what happens when one is used."""

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from allauth.idp.oidc.models import Token
from django.apps import apps as installed
from django.db.models import Prefetch, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.apps import MODELS
from apps.access.held_sql import permissions_sql
from apps.access.models import Role
from apps.access.queries import (
    limit_permissions,
    note_only_grant,
    note_permissions,
    permissions_held,
)
from apps.access.scopes import Scoped, grant_model, models_with_roles, organization_over
from apps.accounts.models import User, UserKind
from apps.accounts.queries import digest_of
from apps.core.errors import PortalError
from apps.core.kept_queries import KeptRows, asked
from apps.organizations.models import ApiToken, ApiTokenSecret, Organization, PersonalToken
from apps.organizations.tokens.secrets import is_well_formed
from apps.organizations.tokens.signed import claims_in

# The time of last use is recorded this often at most: it costs a write.
USE_STEP = timedelta(minutes=1)
VIEW = "organization.view"
PERSONAL = "personal"
# What allauth makes: 64 random bytes.
_OF_LOGIN = re.compile(r"[A-Za-z0-9_-]{86}")


class TokenRefused(PortalError):
    """The text sent is not a working token. The message gives its holder the reason."""


@dataclass(frozen=True)
class Caller:
    """Who calls: the person of a personal token or of a program that is signed in, or the service
    user of an API token with its one role on `place`. Permissions are asked of `user`.

    A program that is signed in calls in any organization of its person: `organization` is None.
    """

    user: User
    organization: Organization | None
    token: ApiToken | PersonalToken | Token
    place: Any = None
    role: Role | None = None


def tokens_on(*, on: Scoped, search: str = "") -> QuerySet[ApiToken]:
    """List the tokens with a live role on the object itself, by name. Their secrets that have not
    ended are in `live_secrets`, the newest first. `search` is part of a name.
    """
    grants = grant_model(type(on)).objects.live().filter(content_object=on)
    live = _live_secrets().select_related("made_by").order_by("-pk")
    found = ApiToken.objects.filter(revoked_at=None, user__in=grants.values("user"))
    found = found.select_related("created_by", "user").order_by("name")
    if search:
        found = found.filter(name__icontains=search)
    return found.prefetch_related(Prefetch("secrets", queryset=live, to_attr="live_secrets"))


def tokens_within(*, on: Scoped) -> list[tuple[ApiToken, Any]]:
    """List the tokens that are not revoked, on an object and on all that lies in it, each with what
    it is for. One query per kind of object.
    """
    found: list[tuple[ApiToken, Any]] = []
    for model in models_with_roles():
        path = model.access_paths.get(type(on).access_scope)
        if path is None:
            continue
        grants = grant_model(model).objects.filter(
            user__api_token__revoked_at=None,
            user__kind=UserKind.SERVICE,
            **{f"content_object__{path}" if path else "content_object": on},
        )
        held = grants.select_related("user__api_token", "content_object").order_by("pk")
        found += [(one.user.api_token, one.content_object) for one in held]
    return found


def roles_of_tokens(*, on: Scoped) -> dict[int, Role]:
    """Return the live roles of tokens on the object, by id of the service user."""
    grants = grant_model(type(on)).objects.live().filter(content_object=on)
    held = grants.filter(user__kind=UserKind.SERVICE).select_related("permission__role")
    return {one.user_id: one.role for one in held}


def can_be_made_by(*, person: User | None, role: Role, place: Any) -> bool:
    """Return whether a person could create a token with the role there now."""
    if person is None or not person.is_active:
        return False
    return permissions_held(user=person, on=place).issuperset(role.permissions)


def caller_of(*, secret: str, address: str) -> Caller:
    """Find who calls with a secret, and note the use: one query, and a write once a minute.
    Secrets that are no JWT, and refusals, take up to four.

    Raises TokenRefused when the secret is unknown, replaced, revoked or has expired, when its
    object is gone, or when the person who made it could no longer make it.
    """
    if _OF_LOGIN.fullmatch(secret):
        return _caller_by_login(secret)
    claims = None if is_well_formed(secret) else claims_in(secret)
    if claims is None and not is_well_formed(secret):
        raise TokenRefused("This is not a token of Astro Portal.")
    digest, scope = digest_of(secret), (claims or {}).get("scope", "")
    if scope == PERSONAL:
        return _caller_in_person(digest, address)
    found = _caller_at_once(digest, scope, address) if scope in MODELS else None
    return found or _caller_step_by_step(digest, address)


def _caller_at_once(digest: str, scope: str, address: str) -> Caller | None:
    """Find the caller of an API token with which all is well, None for any other. `scope` is what
    the token says; it only decides where to look.
    """
    row = _grants_of_tokens(scope).one(digest=digest)
    if row is None or not set(row.role.permissions) <= set(row.of_maker):
        return None
    _note_use(row.user.api_token, address)
    note_only_grant(user=row.user, role=row.role, on=row.content_object)
    place = row.content_object
    return Caller(row.user, organization_over(place), row.user.api_token, place, row.role)


@cache
def _grants_of_tokens(scope: str) -> KeptRows[Any]:
    """Write the query of the grant of an API token, with what the maker of its secret holds."""
    model: Any = installed.get_model(MODELS[scope])  # type: ignore[index]  # one of SCOPES
    above = [f"content_object__{path}" for path in model.access_paths.values() if path]
    token, secret = "user__api_token__", "user__api_token__secrets__"
    grants = (
        grant_model(model)
        .objects.live()
        .filter(
            Q(**{f"{secret}ends_at": None}) | Q(**{f"{secret}ends_at__gt": Now()}),
            Q(**{f"{token}expires_at": None}) | Q(**{f"{token}expires_at__gt": Now()}),
            **{f"{secret}digest": asked("digest"), f"{secret}made_by__is_active": True},
            **{f"{token}revoked_at": None, f"{token}scope": scope, "user__is_active": True},
        )
    )
    of_maker = RawSQL(_permissions_of_maker(model), ())  # noqa: S611 - names of columns
    grants = grants.annotate(of_maker=of_maker)
    # A digest is of one secret at most, and a token has one grant.
    return KeptRows(
        grants.select_related("user__api_token", "permission__role", "content_object", *above)[:1]
    )


@cache
def _permissions_of_maker(model: Any) -> str:
    """Write what the person who made a secret holds where its token has its role."""
    tables = {kind: found._meta.db_table for kind, found in _chain(model).items()}
    objects = [f'"{grant_model(model)._meta.db_table}"."content_object_id"']
    kinds = list(tables)
    objects += [
        f'"{tables[below]}"."{above}_id"' for below, above in zip(kinds, kinds[1:], strict=False)
    ]
    maker = f'"{ApiTokenSecret._meta.db_table}"."made_by_id"'
    return permissions_sql(tuple(_chain(model).values()), user=maker, objects=tuple(objects))


def _chain(model: Any) -> dict[str, Any]:
    """Map the scopes of an object and of all above it to their models, from the object upwards."""
    return {scope: installed.get_model(MODELS[scope]) for scope in model.access_paths}


def _caller_step_by_step(digest: str, address: str) -> Caller:
    """Find the caller of an API token, or say what is wrong with it."""
    known = ApiTokenSecret.objects.select_related("token__user", "made_by")
    row = known.annotate(now=Now()).filter(digest=digest).first()
    if row is None:
        return _caller_in_person(digest, address)
    token = row.token
    if row.ends_at is not None and row.ends_at <= row.now:
        raise TokenRefused("This token was replaced by a newer secret.")
    if token.expires_at is not None and token.expires_at <= row.now:
        raise TokenRefused("This token has expired.")
    if token.revoked_at is not None or not token.user.is_active:
        raise TokenRefused("This token was revoked, or the resource it was for was deleted.")
    role, place = _held(token)
    if not can_be_made_by(person=row.made_by, role=role, place=place):
        raise TokenRefused(
            "The creator of this token can no longer assign its role. "
            "Ask a person who can to rotate it."
        )
    _note_use(token, address)
    note_only_grant(user=token.user, role=role, on=place)
    return Caller(token.user, organization_over(place), token, place, role)


def _caller_in_person(digest: str, address: str) -> Caller:
    token = _personal_tokens().one(digest=digest)
    if token is None:
        raise TokenRefused("This token is unknown. It may have been revoked.")
    if token.expires_at <= token.now:
        raise TokenRefused("This token has expired.")
    if token.fingerprint != fingerprint_of(token.user):
        raise TokenRefused("Your password was changed after this token was made. Create another.")
    if VIEW not in token.held or not token.user.is_active:
        raise TokenRefused("The person of this token is not in its organization any more.")
    note_permissions(user=token.user, on=token.organization, permissions=token.held)
    if token.permissions is not None:
        limit_permissions(token.user, token.permissions)
    _note_use(token, address)
    return Caller(token.user, token.organization, token, token.organization)


@cache
def _personal_tokens() -> KeptRows[Any]:
    """Write the query of a personal token, with what its person holds in the organization."""
    table = PersonalToken._meta.db_table
    permissions = permissions_sql(
        (Organization,), user=f'"{table}"."user_id"', objects=(f'"{table}"."organization_id"',)
    )
    held = RawSQL(permissions, ())  # noqa: S611 - names of columns
    known = PersonalToken.objects.select_related("user", "organization")
    return KeptRows(known.annotate(now=Now(), held=held).filter(digest=asked("digest")))


def _caller_by_login(secret: str) -> Caller:
    token = Token.objects.select_related("user").lookup(Token.Type.ACCESS_TOKEN, secret)
    if token is None or not isinstance(token.data, dict):
        raise TokenRefused("This sign-in is unknown or has expired. Sign in again: astro login.")
    if not token.user.is_active:
        raise TokenRefused("This account is closed.")
    if token.data.get("fingerprint") != fingerprint_of(token.user):
        raise TokenRefused("Your password was changed since. Sign in again: astro login.")
    return Caller(token.user, None, token)


def fingerprint_of(user: User) -> str:
    """Return what changes with a person's password, and tells nothing of it."""
    return digest_of(f"personal-token:{user.password}")


def personal_tokens_of(*, user: User) -> QuerySet[PersonalToken]:
    """List the personal tokens of a person, the newest first; those that have ended, too."""
    return PersonalToken.objects.filter(user=user).select_related("organization").order_by("-pk")


def _held(token: ApiToken) -> tuple[Role, Any]:
    model: Any = installed.get_model(MODELS[token.scope])  # type: ignore[index]  # one of SCOPES
    above = [f"content_object__{path}" for path in model.access_paths.values() if path]
    grants = grant_model(model).objects.live().filter(user=token.user)
    held = grants.select_related("permission__role", "content_object", *above).first()
    if held is None:
        raise TokenRefused("The resource this token was for was deleted, or its role has expired.")
    return held.role, held.content_object


def _note_use(token: ApiToken | PersonalToken, address: str) -> None:
    last = token.last_used_at
    if last is None or last < timezone.now() - USE_STEP:
        row = type(token)._default_manager.filter(pk=token.pk)
        row.update(last_used_at=Now(), last_used_from=address[:64])


def _live_secrets() -> QuerySet[ApiTokenSecret]:
    return ApiTokenSecret.objects.filter(Q(ends_at=None) | Q(ends_at__gt=Now()))
