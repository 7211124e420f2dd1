"""Tokens that identity providers provision with: shown once, stored as digests."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.queries import digest_of
from apps.core.errors import Invalid
from apps.organizations.models import Organization
from apps.organizations.tokens.secrets import SCIM_PREFIX, is_well_formed, new_secret
from apps.sso.models import ScimToken

MANAGE = "organization.sso.manage"
MOST_TOKENS = 10
# The time of last use is written again when this old: not every request is a write.
USE_STEP = timedelta(minutes=1)


@transaction.atomic
def create_scim_token(*, actor: User, organization: Organization, name: str) -> str:
    """Make a token and return it; it is stored nowhere. Raises Invalid when there are enough."""
    if organization.scim_tokens.count() >= MOST_TOKENS:
        raise Invalid(f"There are {MOST_TOKENS} tokens already: revoke one first.", field="name")
    secret = new_secret(prefix=SCIM_PREFIX)
    ScimToken.objects.create(
        organization=organization, name=name, digest=secret.digest, created_by=actor
    )
    changes = {f"SCIM token {name}": [None, "usable"]}
    record_on(action="scim_token.created", actor=actor, on=organization, changes=changes)
    return secret.text


@transaction.atomic
def revoke_scim_token(*, actor: User, token: ScimToken) -> None:
    """Revoke a token at once."""
    changes = {f"SCIM token {token}": ["usable", "revoked"]}
    record_on(action="scim_token.revoked", actor=actor, on=token.organization, changes=changes)
    token.delete()


def scim_token(*, text: str, slug: str) -> ScimToken | None:
    """Return the token with this secret of the organization with this slug, and record its use."""
    if not is_well_formed(text, prefix=SCIM_PREFIX):
        return None
    found = ScimToken.objects.filter(digest=digest_of(text), organization__slug=slug)
    token = found.select_related("organization", "created_by").first()
    if token is not None:
        now = timezone.now()
        found.filter(Q(used_at=None) | Q(used_at__lt=now - USE_STEP)).update(used_at=now)
    return token


def is_backed(token: ScimToken) -> bool:
    """Return whether the person who made a token could make it now: else it does not work."""
    maker = token.created_by
    return maker is not None and maker.has_perm(MANAGE, token.organization)
