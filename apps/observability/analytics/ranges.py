"""The time that a page of charts shows, as its address names it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from apps.core.words import moment_in_words

RANGES: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("1 h", timedelta(hours=1)),
    "24h": ("24 h", timedelta(days=1)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
}
DEFAULT = "24h"
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(days=731)


@dataclass(frozen=True, kw_only=True)
class Range:
    """From `begin` to `end`. `key` is one of `RANGES`, which end now, or empty for a custom one.
    `problem` is why the address was not understood; the default is shown then.
    """

    key: str
    begin: datetime
    end: datetime
    now: datetime
    problem: str = ""

    @property
    def length(self) -> timedelta:
        return self.end - self.begin

    @property
    def query(self) -> str:
        """The range as it stands in an address."""
        if self.key:
            return urlencode({"range": self.key})
        return urlencode({"from": written(self.begin), "to": written(self.end)})

    @property
    def in_words(self) -> str:
        return f"{moment_in_words(self.begin)} to {moment_in_words(self.end)}"

    def moves(self) -> list[tuple[str, str, str]]:
        """Return (key, label, query) of the ranges beside this one, inside it and around it."""
        half = self.length / 2
        quarter = half / 2
        found = [("earlier", "Earlier", self._custom(self.begin - half, self.end - half))]
        if self.end < self.now - SHORTEST:
            found.append(("later", "Later", self._custom(self.begin + half, self.end + half)))
        if self.length >= 2 * SHORTEST:
            inner = self._custom(self.begin + quarter, self.end - quarter)
            found.append(("zoom-in", "Zoom in", inner))
        found.append(("zoom-out", "Zoom out", self._custom(self.begin - half, self.end + half)))
        return found

    def _custom(self, begin: datetime, end: datetime) -> str:
        return custom(begin, end, now=self.now).query


def range_of(query: Mapping[str, str], *, now: datetime) -> Range:
    """Read the range of an address: `range`, or `from` and `to` in UTC."""
    if "from" in query or "to" in query:
        begin, end = moment(query.get("from", "")), moment(query.get("to", ""))
        if begin is None or end is None:
            return _default(now, "Enter both times as a date and a time.")
        if end <= begin:
            return _default(now, "The range ends before it begins. Choose a later end.")
        if begin >= now:
            return _default(now, "The range is in the future. Choose an earlier beginning.")
        return custom(begin, end, now=now)
    key = query.get("range", DEFAULT)
    return _named(key if key in RANGES else DEFAULT, now)


def custom(begin: datetime, end: datetime, *, now: datetime) -> Range:
    """Return a range that neither ends in the future nor is too short or too long."""
    end = min(end, now)
    begin = max(min(begin, end - SHORTEST), end - LONGEST)
    return Range(key="", begin=_minute(begin), end=_minute(end), now=now)


def written(at: datetime) -> str:
    """Write a moment as a field of a form does, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def _default(now: datetime, problem: str) -> Range:
    named = _named(DEFAULT, now)
    return Range(key=named.key, begin=named.begin, end=now, now=now, problem=problem)


def _named(key: str, now: datetime) -> Range:
    return Range(key=key, begin=now - RANGES[key][1], end=now, now=now)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def moment(text: str) -> datetime | None:
    """Read a moment of an address, in UTC where it has no zone; None for anything else."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at if 2000 <= at.year < 2200 else None
