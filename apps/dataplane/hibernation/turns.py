"""When a Deployment hibernates: schedules in time zones, and an override that wins over them. Pure.

Portal and planes evaluate the same plan, so that the keeper of a machine needs no portal for it.
Cron expressions are read as Debian's cron does, clocks that change included: an event in an hour
that does not exist comes right after it, one in an hour that is there twice comes once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from apps.dataplane.hibernation.plans import HibernationPlan, Override, Schedule

# What changes nothing for so long has no turn worth knowing.
MOST_EVENTS, LONGEST = 10_000, timedelta(days=800)
# Where the last event is looked for, in hours: most are found in the first.
_WINDOWS = (3, 25, 200, 1000, 10_000, 40_000)
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The moment at which it falls asleep or wakes next."""

    at: datetime
    is_hibernating: bool


def is_hibernating(plan: HibernationPlan, at: datetime) -> bool:
    """Return whether it hibernates at a moment, which is aware; an event at it has happened."""
    override = active_override(plan, at)
    if override is not None:
        return override.is_hibernating
    return any(_is_asleep(schedule, at) for schedule in _enabled(plan))


def active_override(plan: HibernationPlan, at: datetime) -> Override | None:
    """Return the override, None once its time is over."""
    override = plan.override
    is_over = override is not None and override.until is not None and override.until <= at
    return None if is_over else override


def next_turn(plan: HibernationPlan, at: datetime) -> Turn | None:
    """Return the next change after a moment; None where nothing changes by itself."""
    before = is_hibernating(plan, at)
    moments = _moments(plan, at, ending=before)
    for moment in moments:
        if is_hibernating(plan, moment) != before:
            return Turn(at=moment, is_hibernating=not before)
    return None


def hibernates_since(plan: HibernationPlan, at: datetime) -> datetime:
    """Return since when it has been hibernating without a break; `at` while it does not."""
    override = active_override(plan, at)
    if override is not None:
        return min(override.since, at) if override.is_hibernating else at
    begun = [_last(one.hibernate_at, one, at) for one in _enabled(plan) if _is_asleep(one, at)]
    since = min((one for one in begun if one is not None), default=at)
    ended = plan.override
    if ended is not None and ended.until is not None and not ended.is_hibernating:
        return max(since, ended.until)
    return since


def scheduled_wake(plan: HibernationPlan, at: datetime) -> datetime | None:
    """Return when the schedules alone end the sleep of a moment; None while they ask for none."""
    alone = replace(plan, override=None)
    turn = next_turn(alone, at) if is_hibernating(alone, at) else None
    return turn.at if turn else None


def next_scheduled_wake(plan: HibernationPlan, at: datetime) -> datetime | None:
    """Return the next moment after `at` at which a schedule wakes it, asleep or not."""
    events = [_next(one.wake_at, one, at) for one in _enabled(plan)]
    return min((one for one in events if one is not None), default=None)


def _enabled(plan: HibernationPlan) -> tuple[Schedule, ...]:
    return tuple(schedule for schedule in plan.schedules if schedule.is_enabled)


def _moments(plan: HibernationPlan, at: datetime, *, ending: bool) -> Iterator[datetime]:
    """Yield the moments after `at` at which the state can become the other one, in order."""
    override = active_override(plan, at)
    if override is not None:
        if override.until is None:
            return
        yield override.until
        at = override.until
        ending = is_hibernating(plan, at)
        # At its end nothing may have changed: the schedules say the same, and end it later.
    last = at + LONGEST
    for _ in range(MOST_EVENTS):
        events = [
            _next(one.wake_at if ending else one.hibernate_at, one, at) for one in _enabled(plan)
        ]
        found = [one for one in events if one is not None]
        if not found or min(found) > last:
            return
        at = min(found)
        yield at


def _is_asleep(schedule: Schedule, at: datetime) -> bool:
    """Whether the last event was one of hibernating; where both come at once, it wakes."""
    slept = _last(schedule.hibernate_at, schedule, at)
    woke = _last(schedule.wake_at, schedule, at)
    return slept is not None and (woke is None or woke < slept)


def _next(cron: str, schedule: Schedule, after: datetime) -> datetime | None:
    for moment in CronSim(cron, _local(schedule, after)):
        found = moment.astimezone(UTC)
        if found > after:
            return found
    return None


def _last(cron: str, schedule: Schedule, at: datetime) -> datetime | None:
    """Return the last event at or before a moment."""
    # Found by going forward from before it: going back meets the hour that is there twice twice.
    for hours in _WINDOWS:
        found = _last_after(cron, schedule, at - timedelta(hours=hours), at)
        if found is not None:
            return found
    return None


def _last_after(cron: str, schedule: Schedule, after: datetime, at: datetime) -> datetime | None:
    found = None
    for moment in CronSim(cron, _local(schedule, max(after, _EARLIEST))):
        if moment.astimezone(UTC) > at:
            break
        found = moment.astimezone(UTC)
    return found


def _local(schedule: Schedule, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(schedule.time_zone))
