import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment, Revision


class Deploy(models.Model):
    """One delivery of code to a Deployment. Immutable; a rollback makes a new one with old code."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="deploys")
    number = models.PositiveIntegerField()
    revision = models.OneToOneField(Revision, on_delete=models.CASCADE, related_name="deploy")
    digest = models.CharField(max_length=64)
    file_name = models.CharField(max_length=200)
    size_bytes = models.PositiveBigIntegerField()
    n_files = models.PositiveIntegerField()
    # [{"path", "size", "sha256"}], up to thousands of them: lists defer it.
    files = models.JSONField(default=list)
    # Sentences that hold as long as this code is used.
    warnings = models.JSONField(default=list, blank=True)
    description = models.CharField(max_length=500, blank=True)
    rollback_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="deploy_number_unique")
        ]

    def __str__(self) -> str:
        return f"deploy {self.number}"


def new_upload_name() -> str:
    return secrets.token_hex(16)


class Upload(models.Model):
    """A delivery that a program announced. `name` is that of its files in storage; `version` names
    what was uploaded last, and is empty before that.

    `finished_at` is when it became a deploy, or what was delivered was running already.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="uploads")
    name = models.CharField(max_length=32, default=new_upload_name, unique=True)
    description = models.CharField(max_length=500, blank=True)
    version = models.CharField(max_length=32, blank=True)
    failure = models.CharField(max_length=1000, blank=True)
    deploy = models.OneToOneField(
        Deploy,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="upload",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.description or self.name
