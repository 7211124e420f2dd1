"""Deliveries of code, and who may make them."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment, Revision
from apps.organizations.models import Workspace


class Kind(models.TextChoices):
    """What was delivered: DAGs alone, or a project with folders and packages beside them."""

    DAGS = "dags", "DAGs only"
    PROJECT = "project", "Project"


class Deploy(models.Model):
    """One delivery of code to a Deployment. Immutable; a rollback makes a new one with old code.

    `source` is how it came. The `git_…` fields say which commit it is, where that is known: of a
    push, or as a pipeline reported it.
    """

    class Source(models.TextChoices):
        HAND = "hand", "By hand"
        TOKEN = "token", "API token"
        GIT = "git", "Git"

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
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.DAGS)
    packages_digest = models.CharField(max_length=64, blank=True, default="")
    # [[name, version, size in bytes or None]] beside those of the runtime.
    packages = models.JSONField(default=list, blank=True)
    # [[id, file, schedule, task count, owners, tags]], None where they were not read before.
    dags = models.JSONField(null=True, blank=True)
    description = models.CharField(max_length=500, blank=True)
    rollback_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # The deploy of another Deployment whose code and packages these are.
    promoted_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    source = models.CharField(max_length=10, choices=Source.choices, default=Source.HAND)
    git_repository = models.CharField(max_length=300, blank=True)
    git_branch = models.CharField(max_length=255, blank=True)
    git_path = models.CharField(max_length=500, blank=True)
    git_commit = models.CharField(max_length=64, blank=True)
    git_author = models.CharField(max_length=200, blank=True)
    git_message = models.CharField(max_length=500, blank=True)
    git_url = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="deploy_number_unique")
        ]

    def __str__(self) -> str:
        return f"deploy {self.number}"

    @property
    def short_commit(self) -> str:
        return self.git_commit[:7]


class Enforcement(models.Model):
    """Whether only API tokens and git may deploy: the default of a workspace, or what a Deployment
    has instead of it. Where nothing was decided there is no row, and people may deploy, too.
    """

    workspace = models.OneToOneField(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    deployment = models.OneToOneField(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    is_on = models.BooleanField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(workspace=None, deployment__isnull=False)
                | Q(workspace__isnull=False, deployment=None),
                name="enforcement_is_of_one_object",
            )
        ]

    def __str__(self) -> str:
        return "on" if self.is_on else "off"
