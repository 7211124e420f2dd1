from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.deployments.models import Deployment

LONGEST_ID = 250


class DagState(models.TextChoices):
    """What a list says of a DAG first; those that need a person come first."""

    IMPORT_ERROR = "import-error", "Import error"
    FAILED = "failed", "Last run failed"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Last run succeeded"
    PAUSED = "paused", "Paused"
    NO_RUNS = "no-runs", "No runs yet"


class DagReport(models.Model):
    """What the last look at the DAGs of a Deployment found. `problem` is why the look before
    `seen_at` was the last good one; `digest` names the content, so that an unchanged answer is
    neither sent nor read again. `count` may be larger than the number of rows: they are capped.
    """

    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, related_name="dag_report", primary_key=True
    )
    seen_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"DAGs of {self.deployment_id}"


class DagSummary(models.Model):
    """A DAG as lists show it. `runs` are up to fourteen, the latest last: state, the second since
    1970 that it was due, and the seconds that it took, None while it runs. `catches_up` is whether
    it makes up for all runs that it missed, None where Airflow did not say. `digest` names the
    content, so that only rows that differ are written.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="dags")
    dag_id = models.CharField(max_length=LONGEST_ID)
    name = models.CharField(max_length=LONGEST_ID)
    description = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=12, choices=DagState.choices)
    is_paused = models.BooleanField()
    has_import_error = models.BooleanField()
    schedule = models.CharField(max_length=200, blank=True)
    schedule_in_words = models.CharField(max_length=200, blank=True)
    next_run_at = models.DateTimeField(null=True, blank=True)
    owners = ArrayField(models.CharField(max_length=100), default=list)
    tags = ArrayField(models.CharField(max_length=100), default=list)
    runs = models.JSONField(default=list)
    last_run_at = models.DateTimeField(null=True, blank=True)
    catches_up = models.BooleanField(null=True, blank=True)
    digest = models.CharField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "dag_id"], name="dag_once_in_deployment")
        ]

    def __str__(self) -> str:
        return self.dag_id
