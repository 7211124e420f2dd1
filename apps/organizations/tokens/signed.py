"""Tokens as signed JWTs. Clients read the claims: for which organization a token is, until when.

The portal believes none of them. The signature says that this portal made the text, so that what is
made up is refused without a query; the digest of the whole text then finds the row that decides.
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jwt
from django.conf import settings
from django.utils import timezone
from django.utils.encoding import force_bytes

from apps.accounts.queries import digest_of
from apps.organizations.tokens.secrets import NewSecret

ALGORITHM = "HS256"
LONGEST = 4_000
SHOWN = 6


def new_signed(*, claims: Mapping[str, Any], expires_at: datetime | None) -> NewSecret:
    """Make a token of these claims and 32 random bytes. What is kept to know it again is its end:
    all of them begin alike.
    """
    times = {"iat": int(timezone.now().timestamp())}
    if expires_at is not None:
        times["exp"] = int(expires_at.timestamp())
    unique = {"iss": settings.PORTAL_URL, "jti": secrets.token_urlsafe(32)}
    text = jwt.encode({**unique, **times, **claims}, _key(settings.SECRET_KEY), ALGORITHM)
    return NewSecret(text=text, digest=digest_of(text), beginning=f"…{text[-SHOWN:]}")


def claims_in(text: str) -> dict[str, Any] | None:
    """Return the claims of a text that this portal made, None for any other. Its row says whether
    it works still.
    """
    if len(text) > LONGEST or text.count(".") != 2:
        return None
    found = (_claims_with(text, key) for key in _keys())
    return next((claims for claims in found if claims is not None), None)


def _claims_with(text: str, key: bytes) -> dict[str, Any] | None:
    options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    try:
        return jwt.decode(text, key, algorithms=[ALGORITHM], options=options)  # type: ignore[arg-type]  # any of them
    except jwt.InvalidTokenError:
        return None


def _keys() -> list[bytes]:
    return [_key(one) for one in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _key(secret: str | bytes) -> bytes:
    """Derive a key of its own, so that nothing else that is signed can pass for a token."""
    return hashlib.sha256(b"astro-portal.api-token." + force_bytes(secret)).digest()
