"""Reads of the pages of objectives. The number of queries is the same however many there are."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from apps.accounts.models import User
from apps.deployments.models import Deployment, Phase
from apps.objectives.budget import DAYS, Budget
from apps.objectives.counting import first_day
from apps.objectives.models import Objective, ObjectiveDay
from apps.organizations.models import Organization, Workspace

SEE = "deployment.view"
Place = Organization | Workspace


@dataclass(frozen=True, kw_only=True)
class Row:
    """An objective with its budget. `days` are good and bad runs of each day, the oldest first;
    they are read for the rows of a page alone.
    """

    objective: Objective
    budget: Budget
    days: list[tuple[date, int, int]] = field(default_factory=list)

    @property
    def worst_first(self) -> tuple[bool, float, str]:
        left = self.budget.left
        return left is None, left if left is not None else 0.0, self.objective.dag_id


def objectives_in(*, place: Place, user: User) -> QuerySet[Objective]:
    """List the objectives of a place of Deployments that a person may see."""
    inside = Q(deployment__workspace=place)
    if isinstance(place, Organization):
        inside = Q(deployment__workspace__organization=place)
    return Objective.objects.filter(
        inside,
        deployment__phase=Phase.ACTIVE,
        deployment__in=Deployment.objects.allowing(user, SEE),
    ).select_related("deployment__workspace")


def rows_of(objectives: QuerySet[Objective], *, now: datetime) -> list[Row]:
    """Return objectives with their budgets, the worst first. One query."""
    today = now.astimezone(UTC).date()
    last, whole = Q(days__day=today), Q(days__day__gte=first_day(now))
    summed = objectives.annotate(
        good=_sum("good", whole),
        bad=_sum("bad", whole),
        good_today=_sum("good", last),
        bad_today=_sum("bad", last),
    )
    rows = [Row(objective=one, budget=_budget(one)) for one in summed]
    return sorted(rows, key=lambda row: row.worst_first)


def spent_in(*, deployment_ids: Iterable[int], now: datetime) -> dict[tuple[int, str], bool]:
    """Return, by Deployment and DAG, whether the budget of each objective is spent. One query."""
    rows = rows_of(Objective.objects.filter(deployment__in=list(deployment_ids)), now=now)
    return {
        (row.objective.deployment_id, row.objective.dag_id): row.budget.state == "spent"
        for row in rows
    }


def with_days(rows: Iterable[Row], *, now: datetime) -> list[Row]:
    """Return rows with their days. One query."""
    shown, first = list(rows), first_day(now)
    found: dict[int, dict[date, tuple[int, int]]] = defaultdict(dict)
    known = ObjectiveDay.objects.filter(
        objective__in=[row.objective.pk for row in shown], day__gte=first
    )
    for pk, day, good, bad in known.values_list("objective", "day", "good", "bad"):
        found[pk][day] = good, bad
    days = [first + timedelta(days=one) for one in range(DAYS)]
    return [
        Row(
            objective=row.objective,
            budget=row.budget,
            days=[(day, *found[row.objective.pk].get(day, (0, 0))) for day in days],
        )
        for row in shown
    ]


def _sum(name: str, when: Q) -> Coalesce:
    return Coalesce(Sum(f"days__{name}", filter=when), 0)


def _budget(objective: Objective) -> Budget:
    counts = {
        name: int(getattr(objective, name)) for name in ("good", "bad", "good_today", "bad_today")
    }
    return Budget(target_percent=objective.target_percent, **counts)
