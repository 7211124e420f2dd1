from django.db import models

from apps.deployments.models import Deployment


class UsageDay(models.Model):
    """What a Deployment did on one day (UTC). `through` is up to when it was known when the day was
    summed last. `worker_seconds` are those of all its workers together.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    runs_succeeded = models.PositiveIntegerField(default=0)
    runs_failed = models.PositiveIntegerField(default=0)
    tasks_succeeded = models.PositiveIntegerField(default=0)
    tasks_failed = models.PositiveIntegerField(default=0)
    worker_seconds = models.PositiveBigIntegerField(default=0)
    through = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "day"], name="one_usage_day")]
        indexes = [models.Index(fields=["day"], name="usage_by_day")]

    def __str__(self) -> str:
        return f"{self.deployment_id} on {self.day}"
