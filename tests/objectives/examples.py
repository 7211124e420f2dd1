"""Objectives with days, for tests and for the stages of others."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from apps.deployments.models import Deployment
from apps.objectives.models import Objective, ObjectiveDay


def make_objective(
    deployment: Deployment,
    dag: str = "orders",
    *,
    target: str = "99",
    days: dict[int, tuple[int, int]] | None = None,
    today: date | None = None,
    limit_seconds: int | None = None,
) -> Objective:
    """Return an objective; `days` are good and bad runs by how many days ago they ended."""
    objective = Objective.objects.create(
        deployment=deployment,
        dag_id=dag,
        target_percent=Decimal(target),
        limit_seconds=limit_seconds,
    )
    last = today or datetime.now(UTC).date()
    ObjectiveDay.objects.bulk_create(
        ObjectiveDay(objective=objective, day=last - timedelta(days=ago), good=good, bad=bad)
        for ago, (good, bad) in (days or {}).items()
    )
    return objective
