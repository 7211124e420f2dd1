"""Deadlines and silences by the clocks of a time zone."""

from datetime import UTC, datetime, time, timedelta

import pytest

from apps.alerts.evaluation.deadlines import deadlines_between
from apps.alerts.evaluation.judging import Where
from apps.alerts.evaluation.silent import silent_until
from apps.alerts.silences.models import Silence

WEEK = list(range(7))
WHERE = Where(pk=1, ref="etl", name="etl", workspace_id=2, workspace="W", organization_id=3)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "at", "day", "expected"),
    [
        ("Europe/Copenhagen", time(6, 30), "2026-11-28", "2026-11-28T05:30"),
        ("Europe/Copenhagen", time(6, 30), "2026-07-01", "2026-07-01T04:30"),
        # 02:30 is left out: clocks go from 02:00 to 03:00.
        ("Europe/Copenhagen", time(2, 30), "2026-03-29", "2026-03-29T01:30"),
        # 02:30 comes twice.
        ("Europe/Copenhagen", time(2, 30), "2026-10-25", "2026-10-25T00:30"),
        ("Pacific/Kiritimati", time(0, 0), "2026-01-01", "2025-12-31T10:00"),
        ("", time(23, 59), "2026-01-01", "2026-01-01T23:59"),
    ],
)
def test_a_deadline_follows_the_clocks_of_its_zone(zone: str, at: time, day: str, expected: str):
    noon = utc(f"{day}T00:00")
    found = list(
        deadlines_between(
            due_at=at,
            zone=zone,
            weekdays=WEEK,
            after=utc(expected) - timedelta(hours=12),
            until=utc(expected) + timedelta(hours=11),
        )
    )

    assert found == [utc(expected)]
    assert abs(found[0] - noon) <= timedelta(days=1)


def test_there_is_one_deadline_a_day_on_the_days_that_are_chosen():
    found = list(
        deadlines_between(
            due_at=time(6, 30),
            zone="Europe/Copenhagen",
            weekdays=[0, 4],
            after=utc("2026-03-01T00:00"),
            until=utc("2026-11-30T23:00"),
        )
    )

    assert len(found) == 79
    assert {one.weekday() for one in found} == {0, 4}


def silence(**fields: object) -> Silence:
    given = {"organization_id": 3, "zone": "Europe/Copenhagen", "weekdays": []}
    given |= {"begins_at": utc("2026-11-01T21:00"), "ends_at": utc("2026-11-01T23:00")}
    return Silence(**given | fields)


@pytest.mark.parametrize(
    ("fields", "now", "until"),
    [
        ({}, "2026-11-01T22:00", "2026-11-01T23:00"),
        ({}, "2026-11-01T23:00", None),
        ({}, "2026-11-01T20:59", None),
        ({"ended_at": utc("2026-11-01T21:30")}, "2026-11-01T22:00", None),
        ({"workspace_id": 2}, "2026-11-01T22:00", "2026-11-01T23:00"),
        ({"workspace_id": 9}, "2026-11-01T22:00", None),
        ({"organization_id": 9}, "2026-11-01T22:00", None),
        ({"deployment_id": 9}, "2026-11-01T22:00", None),
        ({"dags": "ord*"}, "2026-11-01T22:00", "2026-11-01T23:00"),
        ({"dags": "bills"}, "2026-11-01T22:00", None),
        # Every Sunday at 22:00 in Copenhagen, for two hours, in summer too.
        ({"weekdays": [6]}, "2026-11-08T21:30", "2026-11-08T23:00"),
        ({"weekdays": [6]}, "2027-06-06T20:30", "2027-06-06T22:00"),
        ({"weekdays": [6]}, "2026-11-09T21:30", None),
        ({"weekdays": [6]}, "2026-10-25T21:30", None),
    ],
)
def test_a_silence_holds_in_its_place_and_time(
    fields: dict[str, object], now: str, until: str | None
):
    found = silent_until([silence(**fields)], where=WHERE, dags=["orders"], now=utc(now))

    assert found == (utc(until) if until else None)


def test_what_one_silence_does_not_cover_is_told():
    half = silence(dags="orders")
    other = silence(dags="bills", ends_at=utc("2026-11-01T22:30"))
    now = utc("2026-11-01T22:00")

    assert silent_until([half], where=WHERE, dags=["orders", "bills"], now=now) is None
    both = silent_until([half, other], where=WHERE, dags=["orders", "bills"], now=now)
    assert both == utc("2026-11-01T22:30")
