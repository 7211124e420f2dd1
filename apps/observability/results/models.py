from django.db import models
from django.db.models import Q

from apps.deployments.models import Deployment

LONGEST_ID = 250


class RunResult(models.Model):
    """What a run of a DAG ended with, or a task of it: every run, every task that failed, and tasks
    that took a minute or more. `task_id` is empty for a run.

    `digest` names the end, so that one which is listed again is kept once. `is_taken` says that
    alerts were evaluated with it.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    dag_id = models.CharField(max_length=LONGEST_ID)
    run_id = models.CharField(max_length=LONGEST_ID)
    task_id = models.CharField(max_length=LONGEST_ID, blank=True)
    map_index = models.IntegerField(default=-1)
    is_failed = models.BooleanField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField()
    digest = models.BigIntegerField()
    is_taken = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "digest"], name="one_row_per_end")
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(is_taken=False), name="result_to_take"),
            models.Index(fields=["deployment", "ended_at"], name="result_of_deployment"),
            models.Index(fields=["ended_at"], name="result_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.dag_id} {self.task_id}".strip()

    @property
    def seconds(self) -> float | None:
        """How long it took, None where that is not known."""
        if self.started_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()
