"""Reads of the usage page. Each function is one query, however many rows there are. Without
`prices` nothing has a cost.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db.models import DecimalField, F, Max, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from apps.deployments.models import Phase
from apps.hibernation.queries import slept_in_month
from apps.organizations.models import Organization
from apps.usage.models import UsageDay
from apps.usage.prices import PriceList

MONTHS = 13
HOUR = 3600
SUMS = ("runs_succeeded", "runs_failed", "tasks_succeeded", "tasks_failed", "worker_seconds")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was done, and the hours of all workers together. `priced_seconds` are those of workers
    times the price of an hour on each day, None where there is no price.
    """

    runs_succeeded: int = 0
    runs_failed: int = 0
    tasks_succeeded: int = 0
    tasks_failed: int = 0
    worker_seconds: int = 0
    priced_seconds: Decimal | None = None

    def __add__(self, other: "Usage") -> "Usage":
        priced = [one.priced_seconds for one in (self, other) if one.priced_seconds is not None]
        return Usage(
            priced_seconds=sum(priced, Decimal(0)) if priced else None,
            **{name: getattr(self, name) + getattr(other, name) for name in SUMS},
        )

    @property
    def runs(self) -> int:
        return self.runs_succeeded + self.runs_failed

    @property
    def worker_hours(self) -> Decimal:
        return (Decimal(self.worker_seconds) / HOUR).quantize(Decimal("0.1"))

    @property
    def cost(self) -> Decimal | None:
        """The price of the worker hours; None where the operator entered no price."""
        if self.priced_seconds is None:
            return None
        return (self.priced_seconds / HOUR).quantize(Decimal("0.01"), ROUND_HALF_UP)

    @property
    def succeeded_percent(self) -> float | None:
        """How many of a hundred runs succeeded; None without a run."""
        return 100 * self.runs_succeeded / self.runs if self.runs else None


@dataclass(frozen=True, kw_only=True)
class Slept:
    """Hours of all Deployments together, and those that their workers would have run at least."""

    hours: Decimal
    worker_hours: Decimal


@dataclass(frozen=True, kw_only=True)
class DeploymentUsage:
    """What one Deployment did in a month."""

    month: date
    workspace_id: int
    workspace: str
    deployment_id: int
    ref: str
    name: str
    is_deleted: bool
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class WorkspaceUsage:
    """The Deployments of one workspace in a month, and their sum."""

    name: str
    deployments: Sequence[DeploymentUsage]
    usage: Usage


def months_of(
    *, organization: Organization, most: int = MONTHS, prices: PriceList | None
) -> list[tuple[date, Usage]]:
    """Return the last months of which something is known, the newest first."""
    sums = _sums(prices)
    rows = _rows(organization).values("month").annotate(**sums).order_by("-month")[:most]
    return [(row["month"], _usage(row)) for row in rows]


def slept(organization: Organization, month: date) -> Slept:
    """Return for how long the Deployments of an organization hibernated in a month."""
    hours = [
        (Decimal(seconds) / HOUR).quantize(Decimal("0.1"))
        for seconds in slept_in_month(
            organization_id=organization.pk, month=month, now=timezone.now()
        )
    ]
    return Slept(hours=hours[0], worker_hours=hours[1])


def usage_in(
    *, organization: Organization, months: Iterable[date], prices: PriceList | None
) -> list[DeploymentUsage]:
    """Return what each Deployment did in some months, by month, workspace and name."""
    names = (
        "month",
        "deployment_id",
        "deployment__workspace_id",
        "deployment__workspace__name",
        "deployment__ref",
        "deployment__name",
        "deployment__phase",
    )
    rows = _rows(organization).filter(month__in=list(months)).values(*names)
    rows = rows.annotate(**_sums(prices))
    order = ("-month", "deployment__workspace__name", "deployment__name", "deployment__ref")
    return [
        DeploymentUsage(
            month=row["month"],
            workspace_id=row["deployment__workspace_id"],
            deployment_id=row["deployment_id"],
            workspace=row["deployment__workspace__name"],
            ref=row["deployment__ref"],
            name=row["deployment__name"],
            is_deleted=row["deployment__phase"] == Phase.DELETED,
            usage=_usage(row),
        )
        for row in rows.order_by(*order)
    ]


def by_workspace(found: Iterable[DeploymentUsage]) -> list[WorkspaceUsage]:
    """Arrange Deployments by workspace, in their order. No query."""
    groups: dict[str, list[DeploymentUsage]] = defaultdict(list)
    for one in found:
        groups[one.workspace].append(one)
    return [
        WorkspaceUsage(
            name=name, deployments=inside, usage=sum((one.usage for one in inside), Usage())
        )
        for name, inside in groups.items()
    ]


def data_through(*, organization: Organization) -> datetime | None:
    """Return up to when usage is known."""
    rows = UsageDay.objects.filter(deployment__workspace__organization=organization)
    found: datetime | None = rows.aggregate(at=Max("through"))["at"]
    return found


def _rows(organization: Organization) -> Any:
    rows = UsageDay.objects.filter(deployment__workspace__organization=organization)
    return rows.annotate(month=TruncMonth("day"))


def _sums(prices: PriceList | None) -> dict[str, Any]:
    sums: dict[str, Any] = {f"sum_{name}": Sum(name) for name in SUMS}
    if prices is not None:
        decimal = DecimalField(max_digits=30, decimal_places=6)
        sums["priced"] = Sum(F("worker_seconds") * prices.by_day("day"), output_field=decimal)
    return sums


def _usage(row: dict[str, Any]) -> Usage:
    return Usage(
        priced_seconds=row.get("priced"),
        **{name: int(row[f"sum_{name}"] or 0) for name in SUMS},
    )
