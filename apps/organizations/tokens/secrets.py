"""What the secret of a token looks like: a prefix that scanners of code know, 32 random bytes, and
a checksum, so that a mistyped or made-up one is refused without asking the database.

    astro_<43 characters of base64url><8 hexadecimal digits of CRC-32 over all before them>
"""

import re
import secrets
import zlib
from dataclasses import dataclass

from apps.accounts.queries import digest_of

PREFIX = "astro_"
SCIM_PREFIX = "astro_scim_"
SHOWN = 6


@dataclass(frozen=True)
class NewSecret:
    """`text` is shown once and stored nowhere; `digest` and `beginning` are what a table keeps."""

    text: str
    digest: str
    beginning: str


def new_secret(*, prefix: str = PREFIX) -> NewSecret:
    """Make a secret of a kind of token."""
    body = prefix + secrets.token_urlsafe(32)
    text = body + _checksum(body)
    return NewSecret(text=text, digest=digest_of(text), beginning=text[: len(prefix) + SHOWN])


def is_well_formed(text: str, *, prefix: str = PREFIX) -> bool:
    """Return whether a text can be a secret of that kind at all."""
    found = re.fullmatch(rf"({re.escape(prefix)}[A-Za-z0-9_-]{{43}})([0-9a-f]{{8}})", text)
    return found is not None and secrets.compare_digest(_checksum(found[1]), found[2])


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
