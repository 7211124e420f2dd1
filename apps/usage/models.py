from decimal import Decimal

from django.conf import settings
from django.db import models
from django.utils import timezone

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


class Price(models.Model):
    """What an hour of a worker costs from a day on, until the next price begins."""

    valid_from = models.DateField(unique=True)
    amount = models.DecimalField(max_digits=12, decimal_places=6)
    currency = models.CharField(max_length=3)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount__gte=Decimal(0)), name="a_price_is_no_debt"
            )
        ]

    def __str__(self) -> str:
        return f"{self.in_words} from {self.valid_from}"

    @property
    def in_words(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"
