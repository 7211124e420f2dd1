"""Lock files: which packages they hold, and what one adds to another. Pure."""

import re
from collections.abc import Iterator

from packaging.utils import canonicalize_name

ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;\\]+)")


def versions(text: str) -> dict[str, str]:
    """Return name → version of a lock; names are in their canonical form."""
    return {name: version for name, version, _ in _entries(text)}


def additions(text: str, *, to: str) -> str:
    """Return the entries of a lock whose packages another one lacks."""
    present = versions(to)
    return "".join(entry for name, _, entry in _entries(text) if name not in present)


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, version and all lines of each entry."""
    name, version, lines = "", "", ""
    for line in text.splitlines(keepends=True):
        match = ENTRY.match(line)
        if match is None:
            lines += line if name and line.startswith((" ", "\t")) else ""
            continue
        if name:
            yield name, version, lines
        name, version, lines = canonicalize_name(match["name"]), match["version"], line
    if name:
        yield name, version, lines
