"""Deliveries of code, and who may make them."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment, Revision
from apps.organizations.models import Workspace


class Kind(models.TextChoices):
    """What was delivered: DAGs alone, a project with folders and packages beside them, or an image
    of people's own.
    """

    DAGS = "dags", "DAGs only"
    PROJECT = "project", "Project"
    IMAGE = "image", "Image"
    IMAGE_AND_DAGS = "image-dags", "Image and DAGs"

    @property
    def has_image(self) -> bool:
        return self in (Kind.IMAGE, Kind.IMAGE_AND_DAGS)


class DeployState(models.TextChoices):
    """Where a deploy stands in the queue of its Deployment; `revision` says what became of one that
    began. See `deliveries.queue`.
    """

    WAITING = "waiting", "Waiting"
    BEGUN = "begun", "Begun"
    REPLACED = "replaced", "Replaced"
    CANCELLED = "cancelled", "Cancelled"
    REFUSED = "refused", "Failed"


class Deploy(models.Model):
    """One delivery of code to a Deployment. Immutable once it has begun, with its revision; a
    rollback makes a new one with old code.

    `source` is how it came. The `git_…` fields say which commit it is, where that is known: of a
    push, or as a pipeline reported it. `image` is the image of people's own that it runs, as
    `OwnImage`, empty for that of the runtime and None where it leaves the image as it is;
    `image_digest` is that of the one that it ran with, empty for that of the runtime.
    `reason` goes to its revision; `problem` says why one that waited never began.
    """

    class Source(models.TextChoices):
        HAND = "hand", "By hand"
        TOKEN = "token", "API token"
        GIT = "git", "Git"

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="deploys")
    number = models.PositiveIntegerField()
    state = models.CharField(
        max_length=10,
        choices=DeployState.choices,
        default=DeployState.BEGUN,
        db_default=DeployState.BEGUN,
    )
    revision = models.OneToOneField(
        Revision, null=True, blank=True, on_delete=models.CASCADE, related_name="deploy"
    )
    reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    problem = models.CharField(max_length=1000, blank=True, default="", db_default="")
    digest = models.CharField(max_length=64, blank=True)
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
    image = models.JSONField(null=True, blank=True)
    image_digest = models.CharField(max_length=80, blank=True, default="", db_default="")
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
            models.UniqueConstraint(fields=["deployment", "number"], name="deploy_number_unique"),
            models.CheckConstraint(
                condition=Q(state="begun", revision__isnull=False)
                | (~Q(state="begun") & Q(revision=None)),
                name="deploy_begins_with_a_revision",
            ),
        ]
        indexes = [
            models.Index(
                fields=["deployment", "number"],
                condition=Q(state="waiting"),
                name="deploy_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"deploy {self.number}"

    @property
    def artifact(self) -> tuple[str, str, str]:
        """Return the digests of its code, of the lock of its packages and of its image."""
        return self.digest, self.packages_digest, self.image_digest

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
