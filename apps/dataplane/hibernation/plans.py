"""What people say about when a Deployment hibernates, its rules, and how it is stored."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError

TASK_MINUTES, MOST_TASK_MINUTES = 10, 24 * 60
FIELDS = 5


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When it hibernates and wakes again, as cron expressions of five fields in a time zone."""

    hibernate_at: str
    wake_at: str
    time_zone: str = "UTC"
    is_enabled: bool = True
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Override:
    """What holds in place of the schedules from `since`, to `until` or for as long as it stands."""

    is_hibernating: bool
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class HibernationPlan:
    """Several schedules add up: it hibernates while one of them says so. Running tasks get
    `task_minutes` to end. After `idle_hours` without a task the portal sets an override; 0 is
    never.
    """

    schedules: tuple[Schedule, ...] = ()
    override: Override | None = None
    task_minutes: int = TASK_MINUTES
    idle_hours: int = 0


def problem_of_schedule(schedule: Schedule) -> tuple[str, str]:
    """Return the field that is wrong and a sentence about it; empty where none is."""
    if schedule.time_zone not in _zones():
        return "time_zone", "Choose a time zone of the list, such as Europe/Berlin."
    for name in ("hibernate_at", "wake_at"):
        text = getattr(schedule, name)
        if not is_cron(text):
            return (
                name,
                "Enter a cron expression of five fields, such as 0 19 * * MON-FRI: minute, hour, "
                "day of the month, month, day of the week.",
            )
    if schedule.hibernate_at.split() == schedule.wake_at.split():
        return "wake_at", "It wakes at the moments at which it would hibernate. Enter other times."
    return "", ""


def is_cron(text: str) -> bool:
    """Return whether a text is a cron expression of five fields that ever comes true."""
    if len(text) > 100 or len(text.split()) != FIELDS or not text.isascii():
        return False
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration, ValueError, AssertionError):
        return False
    return True


def plan_to_json(plan: HibernationPlan) -> dict[str, Any]:
    """Write a plan as JSON; moments are ISO 8601."""
    data = asdict(plan)
    data["schedules"] = [dict(one) for one in data["schedules"]]
    if plan.override is not None:
        until = plan.override.until
        data["override"] = {
            "is_hibernating": plan.override.is_hibernating,
            "since": plan.override.since.isoformat(),
            "until": until.isoformat() if until else None,
        }
    return data


def plan_from_json(data: Mapping[str, Any]) -> HibernationPlan:
    """Read a plan. Raises ValueError, KeyError or TypeError for what is none."""
    override = data.get("override")
    return HibernationPlan(
        schedules=tuple(Schedule(**one) for one in data.get("schedules", ())),
        override=_override(override) if override else None,
        task_minutes=int(data.get("task_minutes", TASK_MINUTES)),
        idle_hours=int(data.get("idle_hours", 0)),
    )


def _override(data: Mapping[str, Any]) -> Override:
    until = data.get("until")
    return Override(
        is_hibernating=bool(data["is_hibernating"]),
        since=datetime.fromisoformat(data["since"]),
        until=datetime.fromisoformat(until) if until else None,
    )


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
