import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.organizations.models import Workspace


class Pin(models.Model):
    """A Deployment or workspace that a person wants at hand. It gives no right to see it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(deployment__isnull=True) ^ models.Q(workspace__isnull=True),
                name="pin_of_one_thing",
            ),
            models.UniqueConstraint(fields=["user", "deployment"], name="deployment_pinned_once"),
            models.UniqueConstraint(fields=["user", "workspace"], name="workspace_pinned_once"),
        ]

    def __str__(self) -> str:
        return str(self.deployment or self.workspace)


class Digest(models.Model):
    """That a person wants a digest, and when the next one is due. `key` is in the address by which
    a mail program ends it, without signing in.
    """

    class Period(models.TextChoices):
        DAILY = "daily", "Every day"
        WEEKLY = "weekly", "Every Monday"

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="digest"
    )
    period = models.CharField(max_length=8, choices=Period.choices)
    hour = models.PositiveSmallIntegerField(default=7, validators=[MaxValueValidator(23)])
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    next_at = models.DateTimeField(db_index=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.period} digest of {self.user_id}"

    @property
    def days(self) -> int:
        """How many days it is about."""
        return 7 if self.period == self.Period.WEEKLY else 1
