from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.backups.models import Backup
from apps.deployments.models import Deployment, Operation


class UpgradeState(models.TextChoices):
    """See the drawing of this app. Only `services` and `running` move it."""

    CHECKING = "checking", "Checking"
    READY = "ready", "Ready"
    WAITING = "waiting", "Scheduled"
    BACKING_UP = "backing-up", "Backing up"
    APPLYING = "applying", "Upgrading"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


OPEN = (
    UpgradeState.CHECKING,
    UpgradeState.READY,
    UpgradeState.WAITING,
    UpgradeState.BACKING_UP,
    UpgradeState.APPLYING,
)
UNDER_WAY = (UpgradeState.WAITING, UpgradeState.BACKING_UP, UpgradeState.APPLYING)


class Upgrade(models.Model):
    """One upgrade of a Deployment from runtime `source` to `target`.

    `base` is the revision that was checked; another one since then makes the check worthless.
    `findings` is a list of `{"tone", "title", "detail", "lines"}`. Without `starts_at` it begins as
    soon as it is confirmed. A claim of the check holds until `lease_until`.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="upgrades")
    number = models.PositiveIntegerField()
    source = models.CharField(max_length=30)
    target = models.CharField(max_length=30)
    base = models.PositiveIntegerField()
    state = models.CharField(
        max_length=12, choices=UpgradeState.choices, default=UpgradeState.CHECKING
    )
    findings = models.JSONField(default=list, blank=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    backup = models.ForeignKey(
        Backup, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    operation = models.ForeignKey(
        Operation, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    failure = models.CharField(max_length=1000, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="upgrade_number_unique"),
            models.UniqueConstraint(
                fields=["deployment"],
                condition=models.Q(state__in=OPEN),
                name="one_open_upgrade_per_deployment",
            ),
        ]
        indexes = [
            models.Index(fields=["state"], condition=models.Q(state__in=OPEN), name="upgrade_open")
        ]

    def __str__(self) -> str:
        return f"{self.source} to {self.target}"
