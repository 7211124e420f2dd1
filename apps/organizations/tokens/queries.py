"""Reads about API tokens, and what happens when one is used."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.apps import apps as installed
from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.apps import MODELS
from apps.access.models import Role
from apps.access.queries import note_only_grant, permissions_held
from apps.access.scopes import Scoped, grant_model, models_with_roles, organization_over
from apps.accounts.models import User, UserKind
from apps.accounts.queries import digest_of
from apps.core.errors import PortalError
from apps.organizations.models import ApiToken, ApiTokenSecret, Organization, PersonalToken
from apps.organizations.tokens.secrets import is_well_formed
from apps.organizations.tokens.signed import is_signed_here

# The time of last use is recorded this often at most: it costs a write.
USE_STEP = timedelta(minutes=1)
VIEW = "organization.view"


class TokenRefused(PortalError):
    """The text sent is not a working token. The message gives its holder the reason."""


@dataclass(frozen=True)
class Caller:
    """Who calls: the person of a personal token, or the service user of an API token with its one
    role on `place`. Permissions are asked of `user`.
    """

    user: User
    organization: Organization
    token: ApiToken | PersonalToken
    place: Any
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
    """Find who calls with a secret, and note the use. Three queries for an API token, two for a
    personal one, and a write once a minute.

    Raises TokenRefused when the secret is unknown, replaced, revoked or has expired, when its
    object is gone, or when the person who made it could no longer make it.
    """
    if not (is_well_formed(secret) or is_signed_here(secret)):
        raise TokenRefused("This is not a token of Astro Portal.")
    digest = digest_of(secret)
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
    known = PersonalToken.objects.select_related("user", "organization").annotate(now=Now())
    token = known.filter(digest=digest).first()
    if token is None:
        raise TokenRefused("This token is unknown. It may have been revoked.")
    if token.expires_at <= token.now:
        raise TokenRefused("This token has expired.")
    if token.fingerprint != fingerprint_of(token.user):
        raise TokenRefused("Your password was changed after this token was made. Create another.")
    if VIEW not in permissions_held(user=token.user, on=token.organization):
        raise TokenRefused("The person of this token is not in its organization any more.")
    _note_use(token, address)
    return Caller(token.user, token.organization, token, token.organization)


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
