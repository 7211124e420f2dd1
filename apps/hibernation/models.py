from django.db import models

from apps.deployments.models import Deployment


class Sleep(models.Model):
    """A stretch of time in which a Deployment was to hibernate. `workers` are those that would have
    run at least.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="sleeps")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    workers = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"],
                condition=models.Q(ended_at=None),
                name="one_sleep_at_a_time",
            )
        ]
        indexes = [models.Index(fields=["deployment", "began_at"], name="sleep_by_deployment")]

    def __str__(self) -> str:
        return f"{self.deployment_id} from {self.began_at}"
