"""Which lines are wanted: by text or regular expression, by level, by time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db import DataError, OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from apps.core.errors import PortalError
from apps.observability.component_logs.lines import ShownLine

# PostgreSQL ends a search that takes longer; most need a few milliseconds.
PATTERN_MILLISECONDS = 1_000
LONGEST_PATTERN = 200
LEVELS: dict[str, frozenset[str]] = {
    "": frozenset({"", "warn", "bad"}),
    "warning": frozenset({"warn", "bad"}),
    "error": frozenset({"bad"}),
}
_MATCHING = "SELECT number FROM unnest(%s::text[]) WITH ORDINALITY AS line (text, number)"
_MATCHING += " WHERE text ~* %s"


class PatternRefused(PortalError):
    """A regular expression that is none, or that takes too long."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """`contains` is a text in any case, or a regular expression if `is_pattern`. Lines from `begin`
    to `end` are wanted; one without a time is as old as the one before it.
    """

    contains: str = ""
    is_pattern: bool = False
    level: str = ""
    begin: datetime | None = None
    end: datetime | None = None

    @property
    def text(self) -> str:
        """What the data plane may search for itself."""
        return "" if self.is_pattern else self.contains

    @property
    def rest(self) -> "Choice":
        """What is left to choose where the data plane has searched for the text."""
        return self if self.is_pattern else replace(self, contains="")

    def keep(self, lines: Sequence[ShownLine]) -> list[ShownLine]:
        """Return the lines that are wanted. Raises PatternRefused."""
        kept = [line for line in lines if line.tone in LEVELS[self.level]]
        if self.begin or self.end:
            kept = self._within(kept)
        if self.is_pattern and self.contains:
            return _matching(kept, self.contains)
        text = self.contains.lower()
        return [line for line in kept if text in line.text.lower()]

    def _within(self, lines: Sequence[ShownLine]) -> list[ShownLine]:
        first, last = self.begin or _FIRST, self.end or _LAST
        at, kept = _FIRST, list[ShownLine]()
        for line in lines:
            at = line.at or at
            if first <= at < last:
                kept.append(line)
        return kept


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def _matching(lines: Sequence[ShownLine], pattern: str) -> list[ShownLine]:
    """Keep lines that match a regular expression, by PostgreSQL: Python's own cannot be stopped,
    and some expressions take years (https://www.postgresql.org/docs/current/functions-matching.html).
    """
    if not lines:
        _find([""], pattern)
        return []
    found = _find([line.text for line in lines], pattern)
    return [line for number, line in enumerate(lines, 1) if number in found]


def _find(texts: Sequence[str], pattern: str) -> frozenset[int]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [PATTERN_MILLISECONDS])
            cursor.execute(_MATCHING, [list(texts), pattern])
            found = frozenset(number for (number,) in cursor.fetchall())
            # Within a transaction of the caller it would hold on.
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
            return found
    except DataError:
        raise PatternRefused(
            "This is no regular expression that PostgreSQL understands. Correct it."
        ) from None
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise PatternRefused(
            "This regular expression takes too long. Use a simpler one, or plain text."
        ) from None
