"""Sums days of history into days of usage. Everything may be repeated: a day is summed anew.

A worker counts for the whole of each five minutes in which it ran. Five minutes of which nothing is
known count nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from math import isnan

from django.conf import settings
from django.db.models import Max

from apps.observability.history.metrics import FINE
from apps.observability.history.models import HistoryDay
from apps.observability.history.packing import day_of
from apps.usage.models import UsageDay

# What ended in an Airflow that was away for some time is counted late.
AGAIN = timedelta(days=3)
COUNTS = ("runs_succeeded", "runs_failed", "tasks_succeeded", "tasks_failed")
WORKERS = "workers"
_WRITTEN = [*COUNTS, "worker_seconds", "through"]


def roll_up(*, now: datetime) -> int:
    """Sum the last days, and all that are kept when none was summed yet; return how many rows.

    Two statements a day.
    """
    today = now.astimezone(UTC).date()
    last = UsageDay.objects.aggregate(last=Max("day"))["last"]
    first = today - timedelta(days=settings.HISTORY_FINE_DAYS)
    if last is not None:
        first = max(first, min(last, today) - AGAIN)
    return sum(_sum(first + timedelta(days=one)) for one in range((today - first).days + 1))


def _sum(day: date) -> int:
    found = HistoryDay.objects.filter(
        step=FINE, day=day, series__metric__in=(*COUNTS, WORKERS)
    ).values_list("series__deployment_id", "series__metric", "packed")
    totals: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    known: dict[int, int] = defaultdict(int)
    for pk, metric, packed in found.iterator(chunk_size=500):
        for place, value in _known(packed):
            totals[pk][metric] += value
            known[pk] = max(known[pk], place + 1)
    rows = [_row(pk, day, totals[pk], known[pk]) for pk in totals]
    UsageDay.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["deployment", "day"],
        update_fields=_WRITTEN,
        batch_size=1000,
    )
    return len(rows)


def _known(packed: bytes | memoryview) -> Iterator[tuple[int, float]]:
    for place, value in enumerate(day_of(packed, step=FINE)):
        if not isnan(value):
            yield place, value


def _row(pk: int, day: date, totals: Mapping[str, float], known: int) -> UsageDay:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return UsageDay(
        deployment_id=pk,
        day=day,
        worker_seconds=int(totals.get(WORKERS, 0.0) * FINE),
        through=begin + timedelta(seconds=known * FINE),
        **{name: int(totals.get(name, 0.0)) for name in COUNTS},
    )
