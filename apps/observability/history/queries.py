"""Reading of history: lines of points for a span of time, whatever resolution they come from."""

from array import array
from collections import defaultdict
from collections.abc import Collection as Several
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import isnan

from django.conf import settings

from apps.observability.history.metrics import COARSE, FINE, METRICS, RAW
from apps.observability.history.models import HistoryDay, Sample, Series
from apps.observability.history.packing import DAY_SECONDS, GAP, day_of, joined, unpacked

# A chart has about this many points, and no finer ones than are kept.
MOST_POINTS = 360
# A measurement that is older than this does not say what is now.
LATEST_SECONDS = 150
# DAG runs of an hour that succeeded and failed, None where that is not known.
Hour = tuple[int, int] | None
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


def lines(
    *,
    deployment_id: int,
    span: Span,
    metrics: Several[str],
    now: datetime,
    labels: Several[str] | None = None,
) -> list[Line]:
    """Return the lines of some metrics, by metric and label, in three statements; with `labels`
    those of these parts of the Deployment alone, "" being the whole.

    A series of which nothing is known in the span is left out.
    """
    rows = Series.objects.filter(deployment_id=deployment_id, metric__in=metrics)
    rows = rows if labels is None else rows.filter(label__in=labels)
    series = {
        pk: (metric, label) for pk, metric, label in rows.values_list("pk", "metric", "label")
    }
    sources = {metric: _source(span, metric, now) for metric in metrics}
    days = _days(series, span, set(sources.values()))
    recent = _recent(deployment_id, span, series)
    found = []
    for pk, (metric, label) in sorted(series.items(), key=lambda item: _order(metrics, item[1])):
        step = sources[metric]
        wanted = span.coarser(step)
        values = _values(wanted, step, days.get((pk, step), {}))
        _put_recent(values, wanted, step, recent.get(pk, {}), metric)
        joined_values = joined(values, size=wanted.step // step, how=METRICS[metric].joined)
        if any(not isnan(value) for value in joined_values):
            found.append(_line(metric, label, wanted, joined_values))
    return found


def _order(metrics: Several[str], name: tuple[str, str]) -> tuple[int, str]:
    return list(metrics).index(name[0]), name[1]


def _line(metric: str, label: str, span: Span, values: Iterable[float]) -> Line:
    shown = tuple(None if isnan(value) else value for value in values)
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


def _days(
    series: Mapping[int, tuple[str, str]], span: Span, steps: set[int]
) -> dict[tuple[int, int], dict[date, "array[float]"]]:
    first = datetime.fromtimestamp(span.begin, UTC).date() - timedelta(days=1)
    last = datetime.fromtimestamp(span.end, UTC).date()
    rows = HistoryDay.objects.filter(
        series_id__in=list(series), step__in=steps, day__gte=first, day__lte=last
    )
    found: dict[tuple[int, int], dict[date, array[float]]] = defaultdict(dict)
    for pk, step, day, data in rows.values_list("series_id", "step", "day", "packed"):
        found[(pk, step)][day] = day_of(data, step=step)
    return found


def _recent(
    deployment_id: int, span: Span, series: Mapping[int, tuple[str, str]]
) -> dict[int, dict[int, float]]:
    """Return what is not packed yet: values by series and slot."""
    rows = Sample.objects.filter(
        deployment_id=deployment_id, slot__gte=span.begin // RAW, slot__lt=span.end // RAW
    )
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for slot, ids, data in rows.values_list("slot", "series", "packed"):
        for pk, value in zip(ids, unpacked(data), strict=False):
            if pk in series:
                found[pk][slot] = value
    return found


def _values(span: Span, step: int, days: Mapping[date, Sequence[float]]) -> "array[float]":
    values = array("f", [GAP]) * ((span.end - span.begin) // step)
    for day, floats in days.items():
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        first, last = max(start, span.begin), min(start + DAY_SECONDS, span.end)
        if first < last:
            part = floats[(first - start) // step : (last - start) // step]
            values[(first - span.begin) // step : (last - span.begin) // step] = array("f", part)
    return values


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
