"""What a client of the registry asks for: `repository:deployments/etl-prod:pull,push`.

Source: Token Scope Documentation, Distribution registry. Whatever is not understood is not granted,
and no error: clients ask for much that they do not need.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

MOST_SCOPES = 20
LONGEST = 300
ACTIONS = ("pull", "push")
REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")


@dataclass(frozen=True)
class Asked:
    """A repository, and which of `pull` and `push` is asked for."""

    repository: str
    actions: tuple[str, ...]


def scopes_in(texts: Iterable[str]) -> list[Asked]:
    """Read scopes, of which one text may hold several, separated by spaces; the first twenty."""
    words = [word for text in texts for word in text.split()]
    read = [_scope(word) for word in words[:MOST_SCOPES] if len(word) <= LONGEST]
    return [one for one in read if one is not None]


def _scope(text: str) -> Asked | None:
    kind, _, rest = text.partition(":")
    name, _, actions = rest.rpartition(":")
    if kind != "repository" or not REPOSITORY.fullmatch(name):
        return None
    named = actions.split(",")
    return Asked(name, tuple(action for action in ACTIONS if action in named))
