import uuid
from datetime import datetime

from django.conf import settings
from django.core.files.storage import storages
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment, Revision
from apps.deployments.reconciling.compiler import backup_name
from apps.object_stores.models import ObjectStore


class BackupState(models.TextChoices):
    """waiting ─▶ running ─▶ done or failed. Only `running` claims and ends."""

    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Complete"
    FAILED = "failed", "Failed"


UNFINISHED = (BackupState.WAITING, BackupState.RUNNING)


class Backup(models.Model):
    """One dump of a metadata database, in the storage `backups` once it is done, or in `store` if
    there is one.

    `revision` is what the Deployment ran then, `sealed` the Fernet key that its connections and
    variables are encrypted with. Without `expires_at` it is kept until a person removes it.
    `then_deletes` deletes the Deployment as soon as it is done. `postgres` is the major version of
    the pg_dump that a cluster wrote it with, 0 for the portal's own. A claim holds until
    `lease_until`.
    """

    class Reason(models.TextChoices):
        MANUAL = "manual", "On demand"
        SCHEDULE = "schedule", "Schedule"
        UPGRADE = "upgrade", "Before an upgrade"
        DELETION = "deletion", "Before deletion"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="backups")
    reason = models.CharField(max_length=10, choices=Reason.choices)
    state = models.CharField(
        max_length=10, choices=BackupState.choices, default=BackupState.WAITING
    )
    revision = models.ForeignKey(
        Revision, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    airflow_version = models.CharField(max_length=20, blank=True)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    store = models.ForeignKey(
        ObjectStore, null=True, blank=True, on_delete=models.RESTRICT, related_name="backups"
    )
    postgres = models.PositiveSmallIntegerField(default=0)
    sealed = models.BinaryField(null=True, blank=True)
    then_deletes = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    keep_days = models.PositiveSmallIntegerField(null=True, blank=True)
    failure = models.CharField(max_length=500, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"],
                condition=models.Q(state__in=UNFINISHED),
                name="one_unfinished_backup_per_deployment",
            )
        ]
        indexes = [
            models.Index(fields=["deployment", "-created_at"], name="backup_of_deployment"),
            models.Index(
                fields=["created_at"],
                condition=models.Q(state__in=UNFINISHED),
                name="backup_unfinished",
            ),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(expires_at__isnull=False),
                name="backup_expires",
            ),
        ]

    def __str__(self) -> str:
        return f"backup {self.id}"

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"backups.backup|{self.id}|{field}"

    @property
    def path(self) -> str:
        return storages["backups"].path(backup_name(str(self.id)))

    @property
    def object_key(self) -> str:
        """Its name in the bucket."""
        prefix = self.store.prefix if self.store else ""
        return f"{prefix}{self.deployment.ref}/{backup_name(str(self.pk))}"

    @property
    def made_at(self) -> datetime:
        """The moment whose data it holds."""
        return self.started_at or self.created_at


class BackupSchedule(models.Model):
    """When a Deployment is backed up by itself: at a time of day in a time zone, every day or, with
    `weekday` (Monday is 0), once a week. `problem` is why the last one was not begun.
    """

    deployment = models.OneToOneField(
        Deployment, primary_key=True, on_delete=models.CASCADE, related_name="backup_schedule"
    )
    weekday = models.PositiveSmallIntegerField(null=True, blank=True)
    at = models.TimeField()
    time_zone = models.CharField(max_length=64)
    keep_days = models.PositiveSmallIntegerField()
    next_at = models.DateTimeField(db_index=True)
    problem = models.CharField(max_length=500, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    changed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"backup schedule of {self.deployment_id}"
