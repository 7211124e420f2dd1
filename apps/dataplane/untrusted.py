"""Values out of an answer of a machine that runs user code: of the expected kind, bounded, and safe
to show. Pure.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

MASK = "••••••"
# Shorter values stand in any text by chance, and to mask them would only spoil it.
SHORTEST_MASKED = 4
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
MOST_SECONDS = 10**9
MOST_NUMBER = 10**9
# In the year 5138.
LATEST_SECOND = 10**11


def text_of(value: object, most: int = 200) -> str:
    """Return one line of text without what acts on a screen, "" for anything else."""
    return block_of(value, most).replace("\n", " ").replace("\t", " ").strip()


def block_of(value: object, most: int) -> str:
    """Return lines of text without what acts on a screen, "" for anything else."""
    text = value if isinstance(value, str) else ""
    # Cut first: what is dropped later only makes it shorter.
    text = text[: most * 2].replace("\r\n", "\n")
    return UNSAFE.sub("", ESCAPES.sub("", storable(text)))[:most]


def storable(text: str) -> str:
    """Replace lone surrogates: they are legal in JSON, and in neither UTF-8 nor PostgreSQL."""
    return text.encode("utf-8", "replace").decode()


def number_of(value: object) -> int | None:
    """Return a count or an index (-1 at least), None for anything else."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and isinstance(value, int) and -1 <= value <= MOST_NUMBER else None


def seconds_of(value: object) -> float | None:
    """Return a length of time, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MOST_SECONDS else None


def moment_of(value: object) -> datetime | None:
    """Return a moment, None for anything else. Those that no time zone can show are none."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at if 1971 <= at.year <= 9000 else None


def moment_at(second: object) -> datetime | None:
    """Return the moment of a second since 1970, None for anything else."""
    is_number = isinstance(second, int) and not isinstance(second, bool)
    if not is_number or not isinstance(second, int) or not 0 <= second <= LATEST_SECOND:
        return None
    return datetime.fromtimestamp(second, UTC)


def texts_of(value: object, *, most: int, longest: int) -> list[str]:
    """Return the texts of a list, each once, in their order."""
    items = value if isinstance(value, list) else []
    found = [text_of(item, longest) for item in items[: most * 2]]
    return [one for one in dict.fromkeys(found) if one][:most]


def rows_of(value: object, most: int) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    items = value if isinstance(value, list) else []
    return [item for item in items[:most] if isinstance(item, dict)]


def masks(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the values to mask: one that contains another one first, so that no rest stays."""
    found = {one for one in secrets if len(one) >= SHORTEST_MASKED}
    return tuple(sorted(found, key=len, reverse=True))


def masked(text: str, secrets: Iterable[str]) -> str:
    """Replace the values of secret variables. `secrets` come from `masks`."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
