"""Writing of history: samples as they come, packed hours, buckets of what ended, and forgetting.

Everything may be repeated: a sample has one row per slot, packing merges into the day what is known
of an hour, and a bucket of Airflow replaces what was known of it.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import isnan

from django.conf import settings
from django.db import connection, transaction

from apps.deployments.models import Phase
from apps.observability.history.metrics import COARSE, FINE, METRICS, RAW, SECOND, STEPS
from apps.observability.history.models import HistoryDay, Sample, Series
from apps.observability.history.packing import (
    DAY_SECONDS,
    GAP,
    day_of,
    empty,
    joined,
    packed,
    unpacked,
)

# A metric and of which part of the Deployment.
Name = tuple[str, str]
# So many count at a time; those unseen for a day do not, but stay as long as their days.
MOST_SERIES, MOST_SERIES_EVER = 600, 3000
# An hour is packed when its last sample had this long to arrive.
GRACE_SECONDS = 120
HOURS_AT_ONCE = 200
_INSERT_SAMPLES = """
    INSERT INTO observability_sample (deployment_id, slot, series, packed)
    SELECT deployment, slot, series::bigint[], packed
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bytea[])
        AS sample (deployment, slot, series, packed)
    ON CONFLICT (deployment_id, slot) DO NOTHING
"""
_DUE_HOURS = """
    SELECT deployment_id, slot / %s AS hour FROM observability_sample
    WHERE slot < %s GROUP BY 1, 2 ORDER BY 2, 1 LIMIT %s
"""
_WRITE_DAYS = """
    INSERT INTO observability_historyday (series_id, step, day, packed)
    SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::date[], %s::bytea[])
    ON CONFLICT (series_id, step, day) DO UPDATE SET packed = EXCLUDED.packed
    WHERE observability_historyday.packed <> EXCLUDED.packed
"""
_FORGET_SERIES = """
    DELETE FROM observability_series series
    WHERE NOT EXISTS (
        SELECT 1 FROM observability_historyday known WHERE known.series_id = series.id
    ) AND NOT EXISTS (
        SELECT 1 FROM observability_sample sample
        WHERE sample.deployment_id = series.deployment_id AND series.id = ANY(sample.series)
    )
"""
_HOUR_SLOTS = COARSE // RAW


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """What was measured of a Deployment at one time."""

    deployment_id: int
    at: datetime
    values: Mapping[Name, float]


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """What ended in a Deployment from `begin` to `end` (seconds since 1970, `begin` a multiple of
    five minutes): values by metric and time. Counts without a value are zero there.
    """

    deployment_id: int
    begin: int
    end: int
    values: Mapping[str, Mapping[int, float]]


@dataclass
class SeriesIds:
    """The ids of series, remembered by the process that writes them."""

    known: dict[int, dict[Name, int]] = field(default_factory=dict)

    def of(self, deployment_id: int, names: Iterable[Name]) -> dict[Name, int]:
        """Return the ids of series, made where they are missing. Of a Deployment no more than
        `MOST_SERIES` are written in a day; those above have no id.
        """
        kept = self.known.get(deployment_id)
        wanted = list(names)
        if kept is None or any(name not in kept for name in wanted):
            kept = self.known[deployment_id] = _ensure(deployment_id, wanted)
        return {name: kept[name] for name in wanted if name in kept}

    def forget(self) -> None:
        """Forget everything, after a failure of the database."""
        self.known.clear()


def _ensure(deployment_id: int, names: Sequence[Name]) -> dict[Name, int]:
    known = _ids(deployment_id)
    missing = [name for name in names if name not in known]
    room = MOST_SERIES - len(known)
    if len(missing) > room:
        room = min(MOST_SERIES - _seen_lately(deployment_id), MOST_SERIES_EVER - len(known))
    missing = missing[: max(0, room)]
    if not missing:
        return known
    rows = [Series(deployment_id=deployment_id, metric=one, label=part) for one, part in missing]
    Series.objects.bulk_create(rows, ignore_conflicts=True)
    return _ids(deployment_id)


def _seen_lately(deployment_id: int) -> int:
    """Return how many series of a Deployment were written yesterday or since."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    packed_ids = Series.objects.filter(deployment_id=deployment_id, days__day__gte=yesterday)
    samples = Sample.objects.filter(deployment_id=deployment_id)
    ids = set(packed_ids.values_list("pk", flat=True))
    return len(ids.union(*samples.values_list("series", flat=True)))


def _ids(deployment_id: int) -> dict[Name, int]:
    rows = Series.objects.filter(deployment_id=deployment_id)
    return {(metric, label): pk for pk, metric, label in rows.values_list("pk", "metric", "label")}


def write_samples(*, gauges: Sequence[Gauges], ids: SeriesIds) -> None:
    """Write some samples by one statement. One whose slot is written already is dropped."""
    rows = []
    for one in gauges:
        taken = {(SECOND, ""): one.at.timestamp() % RAW, **one.values}
        series = ids.of(one.deployment_id, taken)
        if not series:
            continue
        slot = int(one.at.timestamp()) // RAW
        values = packed(taken[name] for name in series)
        numbers = "{" + ",".join(str(number) for number in series.values()) + "}"
        rows.append((one.deployment_id, slot, numbers, values))
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_SAMPLES, [list(column) for column in zip(*rows, strict=True)])


@transaction.atomic
def write_buckets(*, buckets: Buckets, ids: SeriesIds) -> None:
    """Replace what is known of the buckets of a Deployment, and of the hours that they are in."""
    names = [(metric, "") for metric in buckets.values]
    series = ids.of(buckets.deployment_id, names)
    times = range(buckets.begin, buckets.end, FINE)
    days = _Days(series.values(), {_day(at) for at in times})
    for (metric, _), series_id in series.items():
        how = METRICS[metric].joined
        values, default = buckets.values[metric], 0.0 if how == "sum" else GAP
        for at in times:
            days.of(series_id, FINE, _day(at))[at % DAY_SECONDS // FINE] = values.get(at, default)
        for hour in sorted({at // COARSE for at in times}):
            day, start = _day(hour * COARSE), hour * COARSE % DAY_SECONDS // FINE
            part = days.of(series_id, FINE, day)[start : start + COARSE // FINE]
            days.of(series_id, COARSE, day)[hour % 24] = joined(part, size=len(part), how=how)[0]
    days.write()


def pack_hours(*, now: datetime) -> int:
    """Pack some hours that are over into days, the oldest first; return how many were packed."""
    end = (int(now.timestamp()) - GRACE_SECONDS) // COARSE * _HOUR_SLOTS
    with connection.cursor() as cursor:
        cursor.execute(_DUE_HOURS, [_HOUR_SLOTS, end, HOURS_AT_ONCE])
        due = cursor.fetchall()
    for deployment_id, hour in due:
        _pack(deployment_id, hour)
    return len(due)


@transaction.atomic
def _pack(deployment_id: int, hour: int) -> None:
    begin = hour * _HOUR_SLOTS
    rows = Sample.objects.select_for_update().filter(
        deployment_id=deployment_id, slot__gte=begin, slot__lt=begin + _HOUR_SLOTS
    )
    found: dict[int, list[float]] = defaultdict(lambda: [GAP] * _HOUR_SLOTS)
    for row in rows:
        for series_id, value in zip(row.series, unpacked(row.packed), strict=False):
            found[series_id][row.slot - begin] = value
    metrics = dict(Series.objects.filter(pk__in=found).values_list("pk", "metric"))
    day = _day(hour * COARSE)
    days = _Days(metrics, {day})
    for series_id, metric in metrics.items():
        how = METRICS[metric].joined
        for step in STEPS:
            size = COARSE // step
            part = joined(found[series_id], size=step // RAW, how=how)
            start = hour % 24 * size
            days.merge(series_id, step, day, start, part)
    days.write()
    rows.delete()


def forget(*, now: datetime) -> int:
    """Delete the days that are older than the settings say, and all of Deployments that were
    deleted; return how many rows that were.
    """
    for model in (Sample, Series):
        model.objects.filter(deployment__phase=Phase.DELETED).delete()
    kept = {
        RAW: settings.HISTORY_RAW_DAYS,
        FINE: settings.HISTORY_FINE_DAYS,
        COARSE: settings.HISTORY_COARSE_DAYS,
    }
    count = 0
    for step, days in kept.items():
        first = now.date() - timedelta(days=days)
        count += HistoryDay.objects.filter(step=step, day__lt=first).delete()[0]
    return count + _forget_series()


def _forget_series() -> int:
    """Delete the series of which nothing is kept."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_SERIES)
        return int(cursor.rowcount)


class _Days:
    """Days of some series that are read by one statement, changed here, and written by one."""

    def __init__(self, series_ids: Iterable[int], days: Iterable[date]) -> None:
        rows = HistoryDay.objects.select_for_update().filter(
            series_id__in=list(series_ids), day__in=list(days)
        )
        self._days = {
            (row.series_id, row.step, row.day): day_of(row.packed, step=row.step) for row in rows
        }

    def of(self, series_id: int, step: int, day: date) -> "array[float]":
        key = (series_id, step, day)
        if key not in self._days:
            self._days[key] = empty(step)
        return self._days[key]

    def merge(
        self, series_id: int, step: int, day: date, start: int, values: Iterable[float]
    ) -> None:
        """Put what is known into a day; a gap replaces nothing."""
        floats = self.of(series_id, step, day)
        for place, value in enumerate(values, start):
            if not isnan(value):
                floats[place] = value

    def write(self) -> None:
        rows = [(*key, packed(floats)) for key, floats in self._days.items()]
        if not rows:
            return
        with connection.cursor() as cursor:
            cursor.execute(_WRITE_DAYS, [list(column) for column in zip(*rows, strict=True)])


def _day(at: int) -> date:
    return datetime.fromtimestamp(at, UTC).date()
