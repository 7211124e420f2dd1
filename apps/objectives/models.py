from decimal import Decimal

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment

LONGEST_DAG = 250


class Objective(models.Model):
    """How many of a hundred runs of a DAG are to be good, over the last `budget.DAYS` days.

    A run is good when it succeeds and, with `limit_seconds`, takes no longer than that.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="objectives")
    dag_id = models.CharField(max_length=LONGEST_DAG)
    target_percent = models.DecimalField(max_digits=5, decimal_places=2)
    limit_seconds = models.PositiveIntegerField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "dag_id"], name="one_objective_a_dag"),
            models.CheckConstraint(
                condition=models.Q(
                    target_percent__gte=Decimal(1), target_percent__lte=Decimal("99.99")
                ),
                name="an_objective_leaves_a_budget",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dag_id} in {self.deployment_id}"


class ObjectiveDay(models.Model):
    """The runs of a DAG that ended on one day (UTC), good and bad."""

    objective = models.ForeignKey(Objective, on_delete=models.CASCADE, related_name="days")
    day = models.DateField()
    good = models.PositiveIntegerField(default=0)
    bad = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["objective", "day"], name="one_row_per_objective_day")
        ]
        indexes = [models.Index(fields=["day"], name="objective_day_by_age")]

    def __str__(self) -> str:
        return f"{self.objective_id} on {self.day}"
