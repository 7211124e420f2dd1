"""When a Deployment hibernates, over clocks that change, schedules that overlap and overrides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.dataplane.hibernation.plans import (
    HibernationPlan,
    Override,
    Schedule,
    plan_from_json,
    plan_to_json,
    problem_of_schedule,
)
from apps.dataplane.hibernation.turns import (
    hibernates_since,
    is_hibernating,
    next_turn,
    scheduled_wake,
)

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * MON-FRI", time_zone="Europe/Berlin")
HALF_PAST_TWO = Schedule(hibernate_at="30 2 * * *", wake_at="0 7 * * *", time_zone="Europe/Berlin")


def plan(*schedules: Schedule, override: Override | None = None) -> HibernationPlan:
    return HibernationPlan(schedules=schedules, override=override)


def berlin(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=BERLIN, fold=fold).astimezone(UTC)  # type: ignore[misc,arg-type]


def turns(wanted: HibernationPlan, at: datetime, count: int) -> list[tuple[datetime, bool]]:
    found = []
    for _ in range(count):
        turn = next_turn(wanted, at)
        assert turn is not None
        found.append((turn.at, turn.is_hibernating))
        at = turn.at
    return found


def test_it_sleeps_at_night_and_over_the_weekend_in_the_time_of_the_team():
    assert turns(plan(NIGHTS), berlin(2026, 6, 5, 12), 3) == [  # a Friday
        (berlin(2026, 6, 5, 19), True),
        (berlin(2026, 6, 8, 7), False),
        (berlin(2026, 6, 8, 19), True),
    ]


def test_an_hour_that_does_not_exist_puts_it_to_sleep_right_after():
    found = turns(plan(HALF_PAST_TWO), berlin(2026, 3, 28, 12), 2)

    assert found == [(berlin(2026, 3, 29, 3), True), (berlin(2026, 3, 29, 7), False)]


def test_an_hour_that_is_there_twice_puts_it_to_sleep_once():
    found = turns(plan(HALF_PAST_TWO), berlin(2026, 10, 24, 12), 3)

    assert found == [
        (berlin(2026, 10, 25, 2, 30), True),
        (berlin(2026, 10, 25, 7), False),
        (berlin(2026, 10, 26, 2, 30), True),
    ]


def test_it_wakes_once_in_an_hour_that_is_there_twice_and_does_not_fall_asleep_again():
    short = Schedule(hibernate_at="0 1 * * *", wake_at="30 2 * * *", time_zone="Europe/Berlin")

    assert is_hibernating(plan(short), berlin(2026, 10, 25, 2, 29))
    assert not is_hibernating(plan(short), berlin(2026, 10, 25, 2, 30))
    assert not is_hibernating(plan(short), berlin(2026, 10, 25, 2, 10, fold=1))
    assert not is_hibernating(plan(short), berlin(2026, 10, 25, 2, 45, fold=1))


def test_of_schedules_that_overlap_the_last_one_wakes_it():
    early = Schedule(hibernate_at="0 18 * * *", wake_at="0 6 * * *")
    late = Schedule(hibernate_at="0 22 * * *", wake_at="0 9 * * *")

    assert turns(plan(early, late), datetime(2026, 6, 1, 12, tzinfo=UTC), 2) == [
        (datetime(2026, 6, 1, 18, tzinfo=UTC), True),
        (datetime(2026, 6, 2, 9, tzinfo=UTC), False),
    ]


def test_a_schedule_that_is_switched_off_does_nothing():
    off = replace(NIGHTS, is_enabled=False)

    assert not is_hibernating(plan(off), berlin(2026, 6, 5, 23))
    assert next_turn(plan(off), berlin(2026, 6, 5, 23)) is None


def test_an_override_holds_until_its_time_and_then_the_schedules_do():
    awake = Override(
        is_hibernating=False, since=berlin(2026, 6, 5, 20), until=berlin(2026, 6, 5, 23)
    )
    wanted = plan(NIGHTS, override=awake)

    assert not is_hibernating(wanted, berlin(2026, 6, 5, 22))
    assert is_hibernating(wanted, berlin(2026, 6, 5, 23))
    assert turns(wanted, berlin(2026, 6, 5, 22), 2) == [
        (berlin(2026, 6, 5, 23), True),
        (berlin(2026, 6, 8, 7), False),
    ]
    assert hibernates_since(wanted, berlin(2026, 6, 6, 1)) == berlin(2026, 6, 5, 23)


def test_an_override_that_ends_where_a_schedule_sleeps_wakes_with_the_schedule():
    asleep = Override(
        is_hibernating=True, since=berlin(2026, 6, 5, 12), until=berlin(2026, 6, 5, 20)
    )

    turn = next_turn(plan(NIGHTS, override=asleep), berlin(2026, 6, 5, 13))

    assert turn is not None
    assert turn.at == berlin(2026, 6, 8, 7)


def test_without_an_end_nothing_wakes_it_by_itself():
    asleep = Override(is_hibernating=True, since=berlin(2026, 6, 5, 12))

    assert is_hibernating(plan(NIGHTS, override=asleep), berlin(2026, 6, 8, 8))
    assert next_turn(plan(NIGHTS, override=asleep), berlin(2026, 6, 8, 8)) is None


def test_the_schedules_know_when_they_would_wake_it():
    assert scheduled_wake(plan(NIGHTS), berlin(2026, 6, 5, 22)) == berlin(2026, 6, 8, 7)
    assert scheduled_wake(plan(NIGHTS), berlin(2026, 6, 5, 12)) is None


def test_events_every_minute_and_once_in_years_are_found():
    rare = Schedule(hibernate_at="0 0 29 2 *", wake_at="0 0 1 3 *")
    always = Schedule(hibernate_at="0 0 1 1 *", wake_at="* * * * *")

    assert is_hibernating(plan(rare), datetime(2028, 2, 29, 12, tzinfo=UTC))
    assert not is_hibernating(plan(rare), datetime(2027, 2, 28, 12, tzinfo=UTC))
    assert next_turn(plan(always), datetime(2026, 6, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"time_zone": "Europe/Berlim"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"hibernate_at": "0 19 * *"}, "hibernate_at"),
        ({"hibernate_at": "0 0 19 * * *"}, "hibernate_at"),
        ({"hibernate_at": "@daily"}, "hibernate_at"),
        ({"hibernate_at": "0 0 31 2 *"}, "hibernate_at"),
        ({"wake_at": "61 * * * *"}, "wake_at"),
        ({"wake_at": "*/0 * * * *"}, "wake_at"),
        ({"wake_at": "٠ * * * *"}, "wake_at"),
        ({"wake_at": "0  19 * * *"}, "wake_at"),
    ],
)
def test_what_is_no_schedule_is_said_at_its_field(changes: dict[str, str], field: str):
    assert problem_of_schedule(replace(NIGHTS, **changes))[0] == field


def test_a_good_schedule_has_no_problem():
    assert problem_of_schedule(NIGHTS) == ("", "")


MINUTES, HOURS = st.integers(0, 59), st.integers(0, 23)
DAYS = st.sampled_from(["*", "MON-FRI", "SAT", "SUN,WED"])
CRONS = st.builds(lambda minute, hour, days: f"{minute} {hour} * * {days}", MINUTES, HOURS, DAYS)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
)
SCHEDULES = st.builds(
    Schedule, hibernate_at=CRONS, wake_at=CRONS, time_zone=ZONES, is_enabled=st.booleans()
)
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes))
OVERRIDES = st.none() | st.builds(
    Override, is_hibernating=st.booleans(), since=MOMENTS, until=st.none() | MOMENTS
)
PLANS = st.builds(
    HibernationPlan,
    schedules=st.lists(SCHEDULES, max_size=3).map(tuple),
    override=OVERRIDES,
)


@settings(max_examples=60, deadline=None)
@given(PLANS, MOMENTS, st.floats(0.01, 0.99))
def test_between_two_turns_nothing_changes_and_at_a_turn_it_does(
    wanted: HibernationPlan, at: datetime, part: float
):
    before = is_hibernating(wanted, at)
    turn = next_turn(wanted, at)
    between = at + ((turn.at - at) if turn else timedelta(days=3)) * part

    assert is_hibernating(wanted, between) == before
    if turn is not None:
        assert turn.at > at
        assert is_hibernating(wanted, turn.at) == turn.is_hibernating != before


@settings(max_examples=60, deadline=None)
@given(PLANS, MOMENTS)
def test_it_has_hibernated_since_a_moment_of_the_past(wanted: HibernationPlan, at: datetime):
    assert hibernates_since(wanted, at) <= at


@settings(max_examples=60, deadline=None)
@given(PLANS)
def test_a_plan_is_read_as_it_was_written(wanted: HibernationPlan):
    assert plan_from_json(plan_to_json(wanted)) == wanted
