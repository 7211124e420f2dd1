"""Personal tokens: a person's own programs call with them, as that person.

A token ends after 90 days at most. It is worth nothing once the person has another password, is
disabled, or is no longer in the organization.
"""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.access.roles.catalogue import PERMISSIONS
from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.core.public_ids import public_id
from apps.organizations.models import Organization, PersonalToken
from apps.organizations.tokens.queries import fingerprint_of, personal_tokens_of
from apps.organizations.tokens.signed import new_signed

MOST_DAYS = 90
DEPLOY, RUN = "deployment.deploys.create", "deployment.airflow.run"
READ = frozenset(one for one in PERMISSIONS if one.endswith(".view"))
# What a token may be limited to, by key: the words, and the permissions.
LIMITS: dict[str, tuple[str, frozenset[str] | None]] = {
    "all": ("All that you may do", None),
    "run": ("Read, deploy code and run DAGs", READ | {DEPLOY, RUN}),
    "deploy": ("Read and deploy code", READ | {DEPLOY}),
    "read": ("Read", READ),
}
MOST_TOKENS = 50


@transaction.atomic
def create_personal_token(
    *, user: User, organization: Organization, name: str, days: int, limit: str = "all"
) -> tuple[PersonalToken, str]:
    """Make a token for one's own programs; return it and its secret, which is stored nowhere.
    `limit` is a key of LIMITS.

    Raises Invalid when the name is taken, for less than 1 or more than 90 days, and for too many.
    """
    name = " ".join(name.split())
    # The lock makes two requests for the same name wait for each other.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    _remove_ended(user)
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(f"Choose between 1 and {MOST_DAYS} days.", field="days")
    if PersonalToken.objects.filter(user=user, name__iexact=name).exists():
        raise Invalid(f"You already have a token called {name}.", field="name")
    if PersonalToken.objects.filter(user=user).count() >= MOST_TOKENS:
        raise Invalid(f"You have {MOST_TOKENS} tokens. Revoke one that you do not use.")
    expires_at = timezone.now() + timedelta(days=days)
    words, permissions = LIMITS[limit]
    organization_id = public_id("organization", organization.pk)
    person_id = public_id("user", user.pk)
    claims = {
        "sub": person_id,
        "scope": "personal",
        "permissions": [f"userId:{person_id}", f"organizationId:{organization_id}"],
    }
    secret = new_signed(claims=claims, expires_at=expires_at)
    token = PersonalToken.objects.create(
        user=user,
        organization=organization,
        name=name,
        digest=secret.digest,
        ending=secret.beginning,
        fingerprint=fingerprint_of(user),
        permissions=None if permissions is None else sorted(permissions),
        expires_at=expires_at,
    )
    _record("personal_token.created", user, token, [None, f"{words}, for {days} days"])
    return token, secret.text


@transaction.atomic
def revoke_personal_token(*, user: User, token_id: int) -> PersonalToken | None:
    """End a token of one's own at once and permanently; None when there is none of that id."""
    token = personal_tokens_of(user=user).filter(pk=token_id).first()
    if token is not None:
        _record("personal_token.revoked", user, token, ["usable", "revoked"])
        token.delete()
    return token


def limit_of(token: PersonalToken) -> str:
    """Say what a token may do."""
    held = None if token.permissions is None else frozenset(token.permissions)
    known = (words for words, permissions in LIMITS.values() if permissions == held)
    return next(known, "Some of what you may do")


def end_personal_tokens_at(*, domain: str) -> None:
    """End all tokens of people whose addresses are at a domain: they were made by people who had
    signed in by other ways than the one that it requires now.
    """
    PersonalToken.objects.filter(user__email__endswith=f"@{domain}").delete()


def _remove_ended(user: User) -> None:
    PersonalToken.objects.filter(user=user, expires_at__lte=timezone.now()).delete()


def _record(action: str, user: User, token: PersonalToken, change: list[str | None]) -> None:
    changes = {f"personal token {token.name}": change}
    record_on(action=action, actor=user, on=token.organization, changes=changes)
