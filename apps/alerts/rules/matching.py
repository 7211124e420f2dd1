"""Patterns of rules and silences. Pure.

A pattern is text in which `*` stands for any characters; a list of them is separated by commas. The
time is linear in both lengths, whatever people write.
"""

from collections.abc import Iterable
from functools import lru_cache

MOST_PATTERNS = 50


@lru_cache(4096)
def patterns_of(text: str) -> tuple[str, ...]:
    """Split a list of patterns."""
    found = (one.strip() for one in text.split(","))
    return tuple(one for one in found if one)[:MOST_PATTERNS]


def matches(text: str, value: str) -> bool:
    """Return whether a value matches one of the patterns in a text; an empty text matches all."""
    patterns = patterns_of(text)
    return not patterns or any(_matches(one, value) for one in patterns)


def is_excluded(text: str, value: str) -> bool:
    """Return whether a value matches one of the patterns in a text; an empty text matches none."""
    return bool(text) and any(_matches(one, value) for one in patterns_of(text))


def matches_any(text: str, values: Iterable[str]) -> bool:
    """Return whether one of the values matches; an empty text asks for nothing."""
    return not patterns_of(text) or any(matches(text, one) for one in values)


def _matches(pattern: str, value: str) -> bool:
    first, *middle = pattern.split("*")
    if not middle:
        return value == pattern
    last = middle.pop()
    if len(value) < len(first) + len(last):
        return False
    if not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
