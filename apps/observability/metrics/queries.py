"""The newest stored values of some Deployments: four statements, however many there are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isnan

from apps.deployments.models import Deployment, Phase
from apps.observability.history.metrics import COARSE, RAW
from apps.observability.history.models import Collection, HistoryDay, Sample, Series
from apps.observability.history.packing import day_of, unpacked
from apps.observability.history.storage import Name
from apps.observability.metrics.families import COUNTERS

# An older value says nothing about now: Prometheus sees that there is none.
FRESH_SECONDS = 150
# One answer has an end. Deployments beyond it are counted as left out.
MOST_DEPLOYMENTS = 1_000
ENDED = frozenset(metric for counted in COUNTERS for _, metric in counted.results)


@dataclass(kw_only=True)
class Measured:
    """A Deployment, what was measured last by metric and part, and what ended since midnight."""

    deployment: Deployment
    answered_at: datetime | None = None
    values: dict[Name, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)


def measured(*, deployments: Iterable[Deployment], now: datetime) -> list[Measured]:
    """Return what is known now of Deployments, in their order. Values that are older than
    `FRESH_SECONDS` are left out.
    """
    found = {one.pk: Measured(deployment=one) for one in deployments}
    answers = Collection.objects.filter(pk__in=found).values_list("pk", "answered_at")
    for pk, answered_at in answers:
        found[pk].answered_at = answered_at
    _put_gauges(found, now)
    _put_ended(found, now)
    return list(found.values())


def _put_gauges(found: Mapping[int, Measured], now: datetime) -> None:
    first = (int(now.timestamp()) - FRESH_SECONDS) // RAW
    newest = (
        Sample.objects.filter(deployment_id__in=list(found), slot__gte=first)
        .order_by("deployment_id", "-slot")
        .distinct("deployment_id")
        .values_list("deployment_id", "series", "packed")
    )
    rows = list(newest)
    ids = {number for _, series, _ in rows for number in series}
    names = {
        pk: (metric, label)
        for pk, metric, label in Series.objects.filter(pk__in=ids).values_list(
            "pk", "metric", "label"
        )
    }
    for deployment_id, series, packed in rows:
        for number, value in zip(series, unpacked(packed), strict=False):
            if number in names and not isnan(value):
                found[deployment_id].values[names[number]] = value


def _put_ended(found: Mapping[int, Measured], now: datetime) -> None:
    rows = HistoryDay.objects.filter(
        series__deployment__in=list(found),
        series__metric__in=ENDED,
        step=COARSE,
        day=now.astimezone(UTC).date(),
    ).values_list("series__deployment_id", "series__metric", "packed")
    totals: dict[tuple[int, str], float] = defaultdict(float)
    for deployment_id, metric, packed in rows:
        known = [value for value in day_of(packed, step=COARSE) if not isnan(value)]
        totals[deployment_id, metric] += sum(known)
    for (deployment_id, metric), total in totals.items():
        found[deployment_id].ended[metric] = total


def deployments_for(user: object) -> list[Deployment]:
    """Return the Deployments that a caller may see, by `ref`, one more than fit into an answer."""
    seen = Deployment.objects.visible_to(user).exclude(phase=Phase.DELETED)
    above = seen.select_related("workspace__organization").defer("observation", "airflow_secrets")
    return list(above.order_by("ref")[: MOST_DEPLOYMENTS + 1])
