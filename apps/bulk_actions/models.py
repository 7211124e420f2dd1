import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment, Operation
from apps.organizations.models import Organization, Workspace
from apps.upgrades.models import Upgrade


class ActionState(models.TextChoices):
    """See the drawing of this app."""

    DRAFT = "draft", "Not begun"
    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    ENDED = "ended", "Ended"


class ItemState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    REFUSED = "refused", "Refused"
    SKIPPED = "skipped", "Skipped"


class BulkAction(models.Model):
    """One change to many Deployments of an organization, or of one workspace of it.

    `kind` names a class of `actions`, `parameters` are what its form took. `sealed` is a secret
    value that it writes, until the action has ended. It acts with the rights that `actor` has at
    the time, and no more than `permissions` where the caller was limited to some. `at_once` bounds
    how many run at a time.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=20)
    parameters = models.JSONField(default=dict)
    sealed = models.BinaryField(null=True)
    at_once = models.PositiveSmallIntegerField(default=5)
    stops_on_failure = models.BooleanField(default=True)
    state = models.CharField(max_length=8, choices=ActionState.choices, default=ActionState.DRAFT)
    stop_reason = models.CharField(max_length=200, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    permissions = ArrayField(models.CharField(max_length=80), null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(state="running"), name="bulk_action_running")
        ]

    def __str__(self) -> str:
        return f"bulk action {self.pk}"

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"bulk_actions.bulkaction|{self.key}|{field}"

    @property
    def place(self) -> Organization | Workspace:
        return self.workspace or self.organization


class BulkItem(models.Model):
    """One Deployment of an action. `message` says what changes, and once it was refused or has
    failed why; `operation` or `upgrade` is what it began.
    """

    action = models.ForeignKey(BulkAction, on_delete=models.CASCADE, related_name="items")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=ItemState.choices, default=ItemState.WAITING)
    message = models.CharField(max_length=500, blank=True)
    operation = models.ForeignKey(
        Operation, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    upgrade = models.ForeignKey(
        Upgrade, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["action", "deployment"], name="one_item_per_deployment_of_bulk_action"
            )
        ]
        indexes = [models.Index(fields=["action", "state"], name="bulk_item_by_state")]

    def __str__(self) -> str:
        return f"{self.deployment_id} of {self.action_id}"
