"""Setting and removing objectives."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import PortalError
from apps.deployments.models import Deployment
from apps.objectives.counting import count_all_kept
from apps.objectives.models import Objective

MOST = 500


class TooManyObjectives(PortalError):
    def __init__(self) -> None:
        super().__init__(
            f"A Deployment has at most {MOST} objectives. Remove those that no one looks at."
        )


@transaction.atomic
def set_objective(
    *,
    actor: User,
    deployment: Deployment,
    dag_id: str,
    target_percent: Decimal,
    limit_seconds: int | None,
    now: datetime,
) -> Objective:
    """Set the objective of a DAG, or change the one that it has; what is kept of its runs counts at
    once. Days of which no results are kept stay as they were counted. Raises TooManyObjectives.
    """
    Deployment.objects.select_for_update().get(pk=deployment.pk)
    found = Objective.objects.filter(deployment=deployment, dag_id=dag_id).first()
    if found is None and deployment.objectives.count() >= MOST:
        raise TooManyObjectives
    before = _in_words(found) if found else None
    objective = found or Objective(deployment=deployment, dag_id=dag_id, created_by=actor)
    objective.target_percent, objective.limit_seconds = target_percent, limit_seconds
    objective.save()
    count_all_kept(objective_id=objective.pk, now=now)
    changes = {dag_id: [before, _in_words(objective)]}
    record_on(action="objective.set", actor=actor, on=deployment, changes=changes)
    return objective


@transaction.atomic
def remove_objective(*, actor: User, objective: Objective) -> None:
    """Remove an objective with all that was counted."""
    changes = {objective.dag_id: [_in_words(objective), None]}
    record_on(action="objective.removed", actor=actor, on=objective.deployment, changes=changes)
    objective.delete()


def _in_words(objective: Objective) -> str:
    within = f" within {objective.limit_seconds} s" if objective.limit_seconds else ""
    return f"{objective.target_percent.normalize():f} % of its runs succeed{within}"
