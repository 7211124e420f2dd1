"""Reads of the usage page. Each function is one query, however many rows there are."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.conf import settings
from django.db.models import Max, Sum
from django.db.models.functions import TruncMonth

from apps.deployments.models import Phase
from apps.organizations.models import Organization
from apps.usage.models import UsageDay

MONTHS = 13
HOUR = 3600
SUMS = ("runs_succeeded", "runs_failed", "tasks_succeeded", "tasks_failed", "worker_seconds")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was done, and the hours of all workers together."""

    runs_succeeded: int = 0
    runs_failed: int = 0
    tasks_succeeded: int = 0
    tasks_failed: int = 0
    worker_seconds: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in SUMS})

    @property
    def runs(self) -> int:
        return self.runs_succeeded + self.runs_failed

    @property
    def worker_hours(self) -> Decimal:
        return (Decimal(self.worker_seconds) / HOUR).quantize(Decimal("0.1"))

    @property
    def cost(self) -> Decimal | None:
        """The price of the worker hours; None where the operator entered no price."""
        if settings.WORKER_HOUR_PRICE is None:
            return None
        price: Decimal = settings.WORKER_HOUR_PRICE
        return (Decimal(self.worker_seconds) / HOUR * price).quantize(
            Decimal("0.01"), ROUND_HALF_UP
        )

    @property
    def succeeded_percent(self) -> float | None:
        """How many of a hundred runs succeeded; None without a run."""
        return 100 * self.runs_succeeded / self.runs if self.runs else None


@dataclass(frozen=True, kw_only=True)
class DeploymentUsage:
    """What one Deployment did in a month."""

    month: date
    workspace: str
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


def months_of(*, organization: Organization, most: int = MONTHS) -> list[tuple[date, Usage]]:
    """Return the last months of which something is known, the newest first."""
    rows = _rows(organization).values("month").annotate(**_sums()).order_by("-month")[:most]
    return [(row["month"], _usage(row)) for row in rows]


def usage_in(*, organization: Organization, months: Iterable[date]) -> list[DeploymentUsage]:
    """Return what each Deployment did in some months, by month, workspace and name."""
    names = (
        "month",
        "deployment__workspace__name",
        "deployment__ref",
        "deployment__name",
        "deployment__phase",
    )
    rows = _rows(organization).filter(month__in=list(months)).values(*names).annotate(**_sums())
    order = ("-month", "deployment__workspace__name", "deployment__name", "deployment__ref")
    return [
        DeploymentUsage(
            month=row["month"],
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


def _sums() -> dict[str, Any]:
    return {f"sum_{name}": Sum(name) for name in SUMS}


def _usage(row: dict[str, Any]) -> Usage:
    return Usage(**{name: int(row[f"sum_{name}"] or 0) for name in SUMS})
