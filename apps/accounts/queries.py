"""Reads about people and their one-time links."""

import hashlib
from functools import cache
from zoneinfo import available_timezones

from django.db.models.functions import Now

from apps.accounts.models import SignInLink, User, UserKind


def digest_of(token: str) -> str:
    """Return what is stored of a token: its SHA-256, so that a stolen table grants no access."""
    return hashlib.sha256(token.encode()).hexdigest()


def usable_link(*, token: str) -> SignInLink | None:
    """Find the sign-in link behind a token, unless it was used or has expired."""
    links = SignInLink.objects.filter(used_at=None, expires_at__gt=Now()).select_related("user")
    return links.filter(token_digest=digest_of(token)).first()


def person_with_email(*, email: str) -> User | None:
    """Find a person by address, ignoring case."""
    people = User.objects.filter(kind=UserKind.PERSON)
    return people.filter(email=email.strip().lower()).first()


def has_operator() -> bool:
    """Return whether this installation has an operator."""
    return User.objects.filter(is_operator=True, is_active=True).exists()


@cache  # walks the folders of the time zone database: a tenth of a second
def time_zones() -> tuple[str, ...]:
    """List the names of time zones a person may choose, UTC first."""
    regions = sorted(
        zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")
    )
    return ("UTC", *regions)
