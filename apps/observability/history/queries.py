"""Reading of history: lines of points for a span of time, whatever resolution they come from."""

from array import array
from collections import defaultdict
from collections.abc import Collection as Several
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import isnan
from typing import Any

from django.conf import settings
from django.db import connection

from apps.observability.history.metrics import COARSE, FINE, METRICS, RAW
from apps.observability.history.models import HistoryDay, Sample, Series
from apps.observability.history.packing import (
    DAY_SECONDS,
    FLOAT_BYTES,
    GAP,
    day_of,
    joined,
    packed,
    unpacked,
)

# A chart has about this many points, and no finer ones than are kept.
MOST_POINTS = 360
# A measurement that is older than this does not say what is now.
LATEST_SECONDS = 150
# DAG runs of an hour that succeeded and failed, None where that is not known.
Hour = tuple[int, int] | None
_READ = """
    SELECT series.id, series.metric, series.label, stored.step, stored.day, stored.packed
    FROM observability_series series
    LEFT JOIN observability_historyday stored ON stored.series_id = series.id
        AND stored.step = ANY(%(steps)s) AND stored.day BETWEEN %(first)s AND %(last)s
    WHERE series.deployment_id = %(deployment)s AND series.metric = ANY(%(metrics)s)
        AND (%(labels)s::text[] IS NULL OR series.label = ANY(%(labels)s::text[]))
"""
_READ_RECENT = """
    SELECT slot, series, packed FROM observability_sample
    WHERE deployment_id = %s AND slot >= %s AND slot < %s
"""
POINT_SECONDS = (30, 60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `begin` to `end`, seconds since 1970 and multiples of `step`, which divides a point."""

    begin: int
    end: int
    step: int

    @property
    def size(self) -> int:
        return (self.end - self.begin) // self.step

    def coarser(self, step: int) -> "Span":
        """Return the span in steps of at least `step` seconds, whole ones at both ends."""
        step = max(step, self.step)
        return Span(begin=self.begin // step * step, end=-(-self.end // step) * step, step=step)


@dataclass(frozen=True, kw_only=True)
class Line:
    """The values of one series, one for each step of the span; None is a gap."""

    metric: str
    label: str
    span: Span
    values: tuple[float | None, ...]


def span_between(begin: datetime, end: datetime) -> Span:
    """Return the span between two moments in steps that make a chart. Pure."""
    seconds = max(1, int(end.timestamp()) - int(begin.timestamp()))
    step = next((one for one in POINT_SECONDS if seconds <= one * MOST_POINTS), POINT_SECONDS[-1])
    first, last = int(begin.timestamp()) // step * step, -(-int(end.timestamp()) // step) * step
    return Span(begin=first, end=max(last, first + step), step=step)


@dataclass(kw_only=True)
class _Stored:
    """A series, and its days at each resolution that was read."""

    metric: str
    label: str
    days: dict[int, dict[date, bytes]] = field(default_factory=lambda: defaultdict(dict))


def lines(
    *,
    deployment_id: int,
    span: Span,
    metrics: Several[str],
    now: datetime,
    labels: Several[str] | None = None,
) -> list[Line]:
    """Return the lines of some metrics, by metric and label, in two statements; with `labels`
    those of these parts of the Deployment alone, "" being the whole.

    A series of which nothing is known in the span is left out.
    """
    sources = {metric: _source(span, metric, now) for metric in metrics}
    series = _stored(deployment_id, span, sources, labels)
    recent = _recent(deployment_id, span, series)
    order = {metric: place for place, metric in enumerate(metrics)}
    found = []
    for pk, one in sorted(series.items(), key=lambda item: (order[item[1].metric], item[1].label)):
        step = sources[one.metric]
        wanted = span.coarser(step)
        values = _values(wanted, step, one.days[step])
        _put_recent(values, wanted, step, recent.get(pk, {}), one.metric)
        joined_values = joined(values, size=wanted.step // step, how=METRICS[one.metric].joined)
        if any(not isnan(value) for value in joined_values):
            found.append(_line(one.metric, one.label, wanted, joined_values))
    return found


def _line(metric: str, label: str, span: Span, values: Iterable[float]) -> Line:
    # As a list first: a generator takes half as long again.
    shown = tuple([None if isnan(value) else value for value in values])
    return Line(metric=metric, label=label, span=span, values=shown)


def _source(span: Span, metric: str, now: datetime) -> int:
    """Return the resolution to read: the coarsest that makes the points, of those still kept."""
    age = int(now.timestamp()) - span.begin
    kept = {
        RAW: settings.HISTORY_RAW_DAYS,
        FINE: settings.HISTORY_FINE_DAYS,
        COARSE: settings.HISTORY_COARSE_DAYS,
    }
    wanted = max((step for step in kept if span.step % step == 0), default=RAW)
    wanted = max(wanted, METRICS[metric].step)
    there = [step for step, days in kept.items() if step >= wanted and age <= days * DAY_SECONDS]
    return min(there, default=COARSE)


def _stored(
    deployment_id: int, span: Span, sources: Mapping[str, int], labels: Several[str] | None
) -> dict[int, _Stored]:
    """Return series by id, with what is packed of them. A month of a page is a thousand rows: they
    are read as they are.
    """
    first = datetime.fromtimestamp(span.begin, UTC).date() - timedelta(days=1)
    last = datetime.fromtimestamp(span.end, UTC).date()
    wanted: dict[str, Any] = {
        "deployment": deployment_id,
        "metrics": list(sources),
        "labels": None if labels is None else list(labels),
        "steps": list(set(sources.values())),
        "first": first,
        "last": last,
    }
    found: dict[int, _Stored] = {}
    with connection.cursor() as cursor:
        cursor.execute(_READ, wanted)
        for pk, metric, label, step, day, data in cursor.fetchall():
            one = found.get(pk)
            if one is None:
                one = found[pk] = _Stored(metric=metric, label=label)
            if day is not None:
                one.days[step][day] = data
    return found


def _recent(deployment_id: int, span: Span, series: Several[int]) -> dict[int, dict[int, float]]:
    """Return what is not packed yet: values by series and slot."""
    with connection.cursor() as cursor:
        cursor.execute(_READ_RECENT, [deployment_id, span.begin // RAW, span.end // RAW])
        rows = cursor.fetchall()
    found: dict[int, dict[int, float]] = defaultdict(dict)
    known: list[int] = []
    wanted: list[tuple[int, int]] = []
    for slot, ids, data in rows:
        # They are the same from one sample to the next, as a rule.
        if ids != known:
            known, wanted = ids, [(place, pk) for place, pk in enumerate(ids) if pk in series]
        values = unpacked(data)
        for place, pk in wanted:
            if place < len(values):
                found[pk][slot] = values[place]
    return found


def _values(span: Span, step: int, days: Mapping[date, bytes]) -> "array[float]":
    """Lay days beside each other, as bytes; one of another length is a day of gaps."""
    laid = bytearray(packed([GAP]) * ((span.end - span.begin) // step))
    for day, data in days.items():
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        first, last = max(start, span.begin), min(start + DAY_SECONDS, span.end)
        if first < last and len(data) == DAY_SECONDS // step * FLOAT_BYTES:
            part = data[_at(first - start, step) : _at(last - start, step)]
            laid[_at(first - span.begin, step) : _at(last - span.begin, step)] = part
    return unpacked(laid)


def _at(seconds: int, step: int) -> int:
    return seconds // step * FLOAT_BYTES


def _put_recent(
    values: "array[float]", span: Span, step: int, recent: Mapping[int, float], metric: str
) -> None:
    places: dict[int, list[float]] = defaultdict(list)
    for slot, value in recent.items():
        if not isnan(value) and span.begin <= slot * RAW < span.end:
            places[(slot * RAW - span.begin) // step].append(value)
    for place, known in places.items():
        values[place] = joined(known, size=len(known), how=METRICS[metric].joined)[0]


def latest(
    *, deployment_ids: Several[int], metrics: Several[str], now: datetime
) -> dict[int, dict[tuple[str, str], float]]:
    """Return the newest measurement of some Deployments by metric and label, where it is younger
    than `LATEST_SECONDS`, in two statements.
    """
    first = (int(now.timestamp()) - LATEST_SECONDS) // RAW
    rows = Sample.objects.filter(deployment_id__in=deployment_ids, slot__gt=first)
    newest = rows.filter(slot__lte=int(now.timestamp()) // RAW).order_by("deployment_id", "-slot")
    samples = {row.deployment_id: row for row in newest.distinct("deployment_id")}
    series = Series.objects.filter(deployment_id__in=samples, metric__in=metrics)
    names = {
        pk: (metric, label) for pk, metric, label in series.values_list("pk", "metric", "label")
    }
    return {
        pk: {
            names[one]: value
            for one, value in zip(row.series, unpacked(row.packed), strict=False)
            if one in names and not isnan(value)
        }
        for pk, row in samples.items()
    }


def runs_by_hour(*, refs: Several[str], now: datetime) -> dict[str, list[Hour]]:
    """Return the DAG runs of the last 24 hours of some Deployments, by one statement: for each
    hour, the present one last, how many succeeded and failed; None where that is not known.
    """
    last = int(now.timestamp()) // COARSE
    hours = range(last - 23, last + 1)
    days = [datetime.fromtimestamp(hour * COARSE, UTC).date() for hour in (hours[0], hours[-1])]
    rows = HistoryDay.objects.filter(
        series__deployment__ref__in=list(refs),
        series__metric__in=("runs_succeeded", "runs_failed"),
        step=COARSE,
        day__in=days,
    ).values_list("series__deployment__ref", "series__metric", "day", "packed")
    counts: dict[tuple[str, str, int], float] = {}
    for ref, metric, day, data in rows:
        first = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // COARSE
        for place, value in enumerate(day_of(data, step=COARSE)):
            if not isnan(value):
                counts[(ref, metric, first + place)] = value
    return {ref: [_hour(counts, ref, hour) for hour in hours] for ref in refs}


def _hour(counts: Mapping[tuple[str, str, int], float], ref: str, hour: int) -> Hour:
    succeeded = counts.get((ref, "runs_succeeded", hour))
    failed = counts.get((ref, "runs_failed", hour))
    return None if succeeded is None or failed is None else (int(succeeded), int(failed))
