"""What an organization's Deployments measured since the last time, as series: four statements."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isnan

from apps.deployments.models import Deployment, Phase
from apps.observability.history.metrics import RAW, SECOND
from apps.observability.history.models import Sample, Series
from apps.observability.history.packing import unpacked
from apps.observability.metrics.exposition import labels_of, suffixed, totals_of
from apps.observability.metrics.families import GAUGES, Family
from apps.observability.metrics.queries import measured
from apps.observability.remote_write.encoding import NAME, TimeSeries

# A sample may be written this long after its time. Older ones than this are packed, and not sent.
LATE_SECONDS, OLDEST_SECONDS = 60, 3_600
SLOTS_AT_ONCE = 10
MOST_DEPLOYMENTS = 2_000
_BY_METRIC: Mapping[str, Family] = {family.metric: family for family in GAUGES}


@dataclass(frozen=True, kw_only=True)
class News:
    """Series with samples up to the slot `until`. `is_all`: there is nothing later."""

    series: list[TimeSeries]
    until: int
    is_all: bool


def news_of(*, organization_id: int, sent_until: int | None, now: datetime) -> News:
    """Return what was measured after the slot `sent_until`, of `SLOTS_AT_ONCE` slots at most; the
    values that are counted for the whole, such as totals of the day, come with the last of them.
    """
    seconds = int(now.timestamp())
    last = (seconds - LATE_SECONDS) // RAW
    first = max(sent_until or 0, (seconds - OLDEST_SECONDS) // RAW)
    # Whoever is new is told from now on.
    first = last - 1 if sent_until is None else first
    until = min(last, first + SLOTS_AT_ONCE)
    rows = Deployment.objects.filter(workspace__organization=organization_id)
    rows = rows.exclude(phase=Phase.DELETED).select_related("workspace__organization")
    known = rows.defer("observation", "airflow_secrets").order_by("pk")[:MOST_DEPLOYMENTS]
    deployments = {one.pk: one for one in known}
    series = _gauges(deployments, first, until)
    if until == last:
        series += _totals(deployments.values(), now)
    return News(series=series, until=max(until, sent_until or 0), is_all=until == last)


def _gauges(deployments: Mapping[int, Deployment], first: int, until: int) -> list[TimeSeries]:
    rows = Sample.objects.filter(
        deployment_id__in=list(deployments), slot__gt=first, slot__lte=until
    ).order_by("slot")
    taken = list(rows.values_list("deployment_id", "slot", "series", "packed"))
    ids = {pk for _, _, series, _ in taken for pk in series}
    wanted = Series.objects.filter(pk__in=ids, metric__in=[*_BY_METRIC, SECOND])
    names = {
        pk: (metric, label) for pk, metric, label in wanted.values_list("pk", "metric", "label")
    }
    found: dict[tuple[int, str, str], list[tuple[int, float]]] = defaultdict(list)
    for deployment_id, slot, series, packed in taken:
        values = {
            names[pk]: value
            for pk, value in zip(series, unpacked(packed), strict=False)
            if pk in names and not isnan(value)
        }
        at = round((slot * RAW + values.pop((SECOND, ""), 0.0)) * 1000)
        for (metric, label), value in values.items():
            found[deployment_id, metric, label].append((at, value))
    return [
        _series(deployments[pk], _BY_METRIC[metric], label, samples)
        for (pk, metric, label), samples in found.items()
    ]


def _series(
    deployment: Deployment, family: Family, label: str, samples: list[tuple[int, float]]
) -> TimeSeries:
    part = {family.label: label} if family.label else {}
    return TimeSeries(
        labels={NAME: suffixed(family), **labels_of(deployment), **part},
        samples=[(at, value * family.factor) for at, value in samples],
    )


def _totals(deployments: Iterable[Deployment], now: datetime) -> list[TimeSeries]:
    at = int(now.timestamp() * 1000)
    return [
        TimeSeries(labels={NAME: name, **labels}, samples=[(at, value)])
        for name, labels, value in totals_of(measured(deployments=deployments, now=now))
    ]
