"""What a setting may be: a text that people write, and the value that a data plane gets.

`parse` raises Invalid, with a sentence that says what would be right. The same text in another
spelling has one form, `tidy`, so that a review shows no difference where there is none.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from apps.core.errors import Invalid

LONGEST = 8_000
MOST_LINES = 50
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Kind(Protocol):
    """What a setting takes. `lines` is how high its field is, `choices` what it offers."""

    @property
    def lines(self) -> int: ...

    @property
    def choices(self) -> Sequence[str]: ...

    def parse(self, text: str) -> Any: ...

    def tidy(self, text: str) -> str: ...


def lines_of(text: str) -> list[str]:
    """Return the lines that say something, without the space around them."""
    lines = [line.strip() for line in text.splitlines()]
    filled = [line for line in lines if line]
    if len(filled) > MOST_LINES:
        raise Invalid(f"At most {MOST_LINES} lines; there are {len(filled)}.")
    return filled


def quoted(text: str) -> str:
    """Quote what was written, for the sentence that refuses it."""
    return f"“{text[:60]}”"
