import uuid
from pathlib import Path

from django.conf import settings
from django.core.files.storage import storages
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.deployments.reconciling.compiler import backup_name
from apps.object_stores.models import ObjectStore
from apps.organizations.models import Workspace


class ImportState(models.TextChoices):
    """waiting ─▶ running ─▶ ready or failed; ready ─▶ used. `reading` and `services` move it."""

    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Reading"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"
    USED = "used", "Deployment created"


UNFINISHED = (ImportState.WAITING, ImportState.RUNNING)


class AirflowImport(models.Model):
    """An Airflow that comes from elsewhere, by a dump or from a running server (`host`).

    `sealed` is JSON: the server's password and the Fernet keys until it was read, then the one
    Fernet key of the archive. `report` is what was found: `work.reading.report_of`. `options` are
    names of options that a person pasted, never their values. `unpause` has what became of the DAGs
    that ran before: {"asked", "done", "failed": {dag_id: why}}. `postgres` is the major version of
    the pg_dump that wrote the archive.

    `store` is the bucket from which a cluster gets the archive. For the operation with the number
    `sent_for` it is whole there, unless `send_failure` says why not; another operation, such as
    that of a retry, lets a job look again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="airflow_imports"
    )
    name = models.CharField(max_length=200)
    state = models.CharField(max_length=8, choices=ImportState.choices, default=ImportState.WAITING)
    host = models.CharField(max_length=253, blank=True)
    port = models.PositiveIntegerField(default=5432)
    database = models.CharField(max_length=63, blank=True)
    user = models.CharField(max_length=63, blank=True)
    encryption = models.CharField(max_length=10, default="verified")
    ca_certificate = models.TextField(blank=True)
    sealed = models.BinaryField(null=True, blank=True)
    options = models.JSONField(default=list, blank=True)
    report = models.JSONField(default=dict, blank=True)
    airflow_version = models.CharField(max_length=20, blank=True)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    postgres = models.PositiveSmallIntegerField(default=0)
    failure = models.CharField(max_length=500, blank=True)
    store = models.ForeignKey(
        ObjectStore,
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="airflow_imports",
    )
    sent_for = models.PositiveIntegerField(null=True, blank=True)
    send_failure = models.CharField(max_length=500, blank=True)
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.SET_NULL, related_name="airflow_imports"
    )
    unpause = models.JSONField(default=dict, blank=True)
    unpaused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "-created_at"], name="import_of_workspace"),
            models.Index(
                fields=["created_at"],
                condition=models.Q(state__in=UNFINISHED),
                name="import_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"airflow_imports.airflowimport|{self.id}|{field}"

    @property
    def archive_key(self) -> str:
        """What the restore of a revision names; beside backups, in a folder of its own."""
        return f"imports/{self.id}"

    @property
    def archive(self) -> Path:
        return Path(storages["backups"].path(backup_name(self.archive_key)))

    @property
    def upload(self) -> Path:
        return self.archive.with_suffix(".upload")

    @property
    def object_key(self) -> str:
        """Its name in the bucket; no Deployment has a folder of this name."""
        prefix = self.store.prefix if self.store else ""
        return f"{prefix}{backup_name(self.archive_key)}"

    @property
    def ran_before(self) -> list[str]:
        """The DAGs that were not paused."""
        dags = self.report.get("dags", [])
        return [one["dag_id"] for one in dags if not one["is_paused"]]
