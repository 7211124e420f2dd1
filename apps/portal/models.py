from django.conf import settings
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
