"""Public ids: 25 characters like those of a CUID, made of the kind and the number of a row.

    c <10 digits of SHA-256 over kind and number> <number, 14 digits>    all hexadecimal

They are stable as long as the row is, need no column, and an id of another kind is no id at all.
They are no secrets: the gate decides who may see what.
"""

import hashlib
import re
from functools import lru_cache
from typing import Literal

Kind = Literal[
    "organization",
    "workspace",
    "cluster",
    "deployment",
    "deploy",
    "user",
    "team",
    "role",
    "token",
    "invitation",
    "upload",
    "package-index",
    "alert",
    "channel",
    "silence",
    "message",
    "repository",
    "objective",
    "webhook",
    "subscriber",
    "bulk-action",
    "environment_object",
]
_SHAPE = re.compile(r"c([0-9a-f]{10})([0-9a-f]{14})")


@lru_cache(maxsize=8192)
def public_id(kind: Kind, number: int) -> str:
    """Return the id by which clients name a row."""
    return f"c{_digest(f'{kind}:{number}')[:10]}{number:014x}"


def number_of(kind: Kind, text: str) -> int:
    """Return the number of the row that an id names; 0, which no row has, for any other text."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        return 0
    number = int(found[2], 16)
    return number if public_id(kind, number) == text else 0


def numbers_of(kind: Kind, texts: list[str]) -> list[int]:
    """Return the numbers of those ids that are of the kind."""
    return [number for text in texts if (number := number_of(kind, text))]


@lru_cache(maxsize=8192)
def part_id(whole: str, name: str) -> str:
    """Return an id of a part that has a name only, such as a queue of a Deployment."""
    return f"c{_digest(f'{whole}:{name}')[:24]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
