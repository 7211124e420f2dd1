"""Backups of a Deployment's metadata database, and restoring them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Path, Query, Router
from pydantic import Field

from apps.access.scoped import require
from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Profile, Shape, profile_of
from apps.backups import services
from apps.backups.models import Backup
from apps.backups.queries import backups_of
from apps.backups.restoring import restore_as_new, restore_backup
from apps.core.public_ids import public_id

router = Router(by_alias=True, exclude_none=True, tags=["Backup"])


class AtBackup(AtDeployment):
    backup_id: UUID


class BackupShape(Shape):
    """`status` is WAITING, RUNNING, DONE or FAILED; a failed one has the reason in `error`. It
    holds what the database had at `startedAt`. Without `expiresAt` it is kept until it is removed.
    """

    id: str
    deployment_id: str
    status: str
    reason: str
    airflow_version: str | None = None
    revision_number: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    bucket: str | None = None
    error: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    created_by_subject: Profile


class BackupList(Listing):
    backups: list[BackupShape]


class NewBackup(Shape):
    keep_days: int | None = Field(default=None, ge=1, le=3650)


class Restore(Shape):
    """`deploymentName` is the name of the Deployment, typed again: what came after the backup is
    lost.
    """

    deployment_name: str = Field(max_length=60)


class DeploymentFromBackup(Shape):
    """`runtime` is a newer one than that of the backup, which holds where it is left out."""

    name: str = Field(min_length=1, max_length=60)
    runtime: str = Field(default="", max_length=40)


class Created(Shape):
    deployment_id: str
    operation_number: int


class Restored(Shape):
    revision_number: int
    operation_number: int


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/backups",
    auth=on_deployment("deployment.view"),
    response=BackupList,
    operation_id="ListBackups",
    summary="List backups of a Deployment, the newest first",
)
def list_backups(request: Call, at: Path[AtDeployment], asked: Query[Paging]) -> Any:
    page = page_of(backups_of(request.found), asked, sorts={"createdAt": "-created_at"})
    return BackupList(backups=[backup_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/backups",
    auth=on_deployment("deployment.update"),
    response=BackupShape,
    operation_id="CreateBackup",
    summary="Back up the metadata database",
)
@once
def new_backup(request: Call, at: Path[AtDeployment], body: NewBackup) -> Any:
    """Returns at once; a job makes the backup while Airflow runs on. While one is being made, that
    one is returned.
    """
    made = services.request_backup(
        actor=request.caller.user, deployment=request.found, keep_days=body.keep_days
    )
    return backup_shape(made)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/backups/{backupId}",
    auth=on_deployment("deployment.view"),
    response=BackupShape,
    operation_id="GetBackup",
    summary="Get a backup",
)
def get_backup(request: Call, at: Path[AtBackup]) -> Any:
    return backup_shape(_found(request, at))


@router.delete(
    "/organizations/{organizationId}/deployments/{deploymentId}/backups/{backupId}",
    auth=on_deployment("deployment.delete"),
    response={204: None},
    operation_id="DeleteBackup",
    summary="Remove a backup",
)
def remove_backup(request: Call, at: Path[AtBackup]) -> None:
    services.remove_backup(actor=request.caller.user, backup=_found(request, at))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/backups/{backupId}/restore",
    auth=on_deployment("deployment.update"),
    response=Restored,
    operation_id="RestoreBackup",
    summary="Restore a backup in its Deployment",
)
def restore(request: Call, at: Path[AtBackup], body: Restore) -> Any:
    """Brings back the database, and the configuration and the code of that time, as a new revision.
    409 where the backup is not complete.
    """
    operation = restore_backup(
        actor=request.caller.user, backup=_found(request, at), typed_name=body.deployment_name
    )
    number = operation.revision.number if operation.revision else 0
    return Restored(revision_number=number, operation_number=operation.number)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/backups/{backupId}/new-deployment",
    auth=on_deployment("workspace.deployments.create"),
    response=Created,
    operation_id="RestoreBackupAsNew",
    summary="Create a Deployment in the same workspace from a backup",
)
@once
def restore_new(request: Call, at: Path[AtBackup], body: DeploymentFromBackup) -> Any:
    """Its DAGs are paused, because the other Deployment may run them, too."""
    user, backup = request.caller.user, _found(request, at)
    # Connections and secrets of this Deployment go with it.
    require(user=user, permission="deployment.update", on=request.found)
    operation = restore_as_new(actor=user, backup=backup, name=body.name, runtime=body.runtime)
    return Created(
        deployment_id=public_id("deployment", operation.deployment_id),
        operation_number=operation.number,
    )


def _found(request: Call, at: AtBackup) -> Backup:
    rows = Backup.objects.select_related(
        "revision",
        "created_by",
        "store",
        "deployment__workspace__organization",
        "deployment__cluster",
    )
    return or_404(rows.filter(deployment=request.found, pk=at.backup_id).first())


def backup_shape(backup: Backup) -> BackupShape:
    """Describe a backup."""
    return BackupShape(
        id=str(backup.pk),
        deployment_id=public_id("deployment", backup.deployment_id),
        status=backup.state.upper(),
        reason=backup.reason.upper(),
        airflow_version=backup.airflow_version or None,
        revision_number=backup.revision.number if backup.revision else None,
        size_bytes=backup.size_bytes,
        sha256=backup.sha256 or None,
        bucket=str(backup.store) if backup.store else None,
        error=backup.failure or None,
        created_at=backup.created_at,
        started_at=backup.started_at,
        ended_at=backup.ended_at,
        expires_at=backup.expires_at,
        created_by_subject=profile_of(backup.created_by),
    )
