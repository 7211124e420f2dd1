from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from apps.alerts.places import Placed
from apps.deployments.models import Deployment


class Silence(Placed):
    """A time in which rules tell nothing about Deployments of a place. What is still wrong when it
    ends is told then.

    Once: from `begins_at` to `ends_at`. With `weekdays` (Monday is 0) every week: on each of them
    at the time of day of `begins_at` in the time zone `zone`, for as long as the first one lasts.
    """

    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    dags = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    weekdays = ArrayField(models.PositiveSmallIntegerField(), default=list, blank=True)
    zone = models.CharField(max_length=64, default="UTC")
    ended_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("begins_at")),
                name="a_silence_of_alerts_has_a_length",
            )
        ]
        indexes = [
            models.Index(
                fields=["ends_at"],
                condition=models.Q(ended_at=None),
                name="silence_not_ended",
            )
        ]

    def __str__(self) -> str:
        return self.reason or "Silence"
