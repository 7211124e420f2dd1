"""Deadlines: times of day in a time zone, and which of them are to be checked. Pure.

A time of day that a change of the clocks leaves out is the moment after the gap; one that comes
twice is the first.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

# A deadline that the portal could not check for longer is not told any more.
OLDEST = timedelta(days=2)


def deadlines_between(
    *, due_at: time, zone: str, weekdays: list[int], after: datetime, until: datetime
) -> Iterator[datetime]:
    """Yield the deadlines after one moment and up to another one, in UTC, the earliest first."""
    local = ZoneInfo(zone or "UTC")
    day = after.astimezone(local).date() - timedelta(days=1)
    last = until.astimezone(local).date()
    while day <= last:
        moment = moment_of_day(day.year, day.month, day.day, due_at, local)
        if day.weekday() in weekdays and after < moment <= until:
            yield moment
        day += timedelta(days=1)


def moment_of_day(year: int, month: int, day: int, at: time, zone: ZoneInfo) -> datetime:
    """Return the moment in UTC at which clocks of a zone show a time of a day."""
    wall = datetime(year, month, day, at.hour, at.minute, tzinfo=zone)
    return wall.astimezone(UTC)


def first_open(*, since: datetime, now: datetime) -> datetime:
    """Return after which moment deadlines are still to be checked."""
    return max(since, now - OLDEST)
