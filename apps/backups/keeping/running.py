"""The job of a backup: claim the row, let the data plane write the dump, seal its key.

A worker that was killed leaves a claim that ends and no file with the name of a backup, so another
one simply begins again. What fails is said on the row.
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path

from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.backups.keeping.from_clusters import write_from_cluster
from apps.backups.keys import seal_fernet_key
from apps.backups.models import UNFINISHED, Backup, BackupState
from apps.clusters.connections.planes import plane_for
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import PortalError
from apps.dataplane.base import SupportsBackups
from apps.dataplane.errors import DataPlaneError, Permanent
from apps.deployments.editing.services import delete_deployment
from apps.deployments.models import Phase
from apps.deployments.operations import record_change
from apps.object_stores.client import BucketFailed
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened, store_for
from apps.object_stores.transfers import upload

logger = logging.getLogger(__name__)

MOST_SECONDS = 3_600
LEASE = timedelta(seconds=MOST_SECONDS + 60)
MOST_ATTEMPTS = 3
INTERRUPTED = (
    "The backup was cut off three times, so it was given up: its worker was stopped or killed. "
    "Try again."
)
TOO_LONG = "The backup took longer than an hour, so it was given up."
# What a worker writes at the end. The rest may have changed meanwhile.
WRITTEN = (
    "state",
    "ended_at",
    "lease_until",
    "failure",
    "expires_at",
    "sealed",
    "revision",
    "airflow_version",
    "size_bytes",
    "sha256",
    "postgres",
)
NOT_DELETED = "The backup is complete, but the Deployment was not deleted."


def back_up(*, backup_id: str, now: datetime) -> None:
    """Write one backup, unless another worker does. Raises only unexpected errors."""
    backup = _claim(backup_id, now)
    if backup is None:
        return
    try:
        _write(backup)
    except SoftTimeLimitExceeded:
        _fail(backup, TOO_LONG)
    except (DataPlaneError, SecretUnreadable, BucketFailed) as error:
        _fail(backup, getattr(error, "message", "") or str(error))
    else:
        _end(backup)


def _claim(backup_id: str, now: datetime) -> Backup | None:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Backup.objects.filter(free, pk=backup_id, state__in=UNFINISHED)
    if rows.filter(attempts__gte=MOST_ATTEMPTS).update(
        state=BackupState.FAILED, failure=INTERRUPTED, ended_at=now, lease_until=None
    ):
        return None
    if not rows.update(
        state=BackupState.RUNNING,
        lease_until=now + LEASE,
        attempts=F("attempts") + 1,
        started_at=now,
    ):
        return None
    above = ("deployment__cluster", "deployment__applied", "deployment__workspace", "created_by")
    return Backup.objects.select_related(*above).get(pk=backup_id)


def _write(backup: Backup) -> None:
    deployment = backup.deployment
    if deployment.phase != Phase.ACTIVE:
        raise Permanent("The Deployment was deleted before it was backed up.")
    backup.sealed = seal_fernet_key(backup, deployment)
    backup.revision = deployment.applied
    if deployment.cluster.is_kubernetes:
        write_from_cluster(backup)
        return
    plane = plane_for(deployment.cluster)
    if not isinstance(plane, SupportsBackups):
        raise Permanent("This data plane makes no backups.")
    path = Path(backup.path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Permanent(f"The folder of backups cannot be made: {error.strerror}.") from error
    dump = plane.back_up(ref=deployment.ref, path=str(path))
    store = store_for(deployment.workspace.organization_id, ObjectStore.Use.BACKUPS)
    if store is not None:
        _move_to_bucket(backup, store, path)
    backup.airflow_version = dump.airflow_version
    backup.size_bytes, backup.sha256 = dump.size_bytes, dump.sha256


def _move_to_bucket(backup: Backup, store: ObjectStore, path: Path) -> None:
    # Known before anything is there, so that removing a backup that failed removes it there, too.
    backup.store = store
    backup.save(update_fields=["store"])
    try:
        upload(opened(store), backup.object_key, path)
    except OSError as error:
        raise Permanent(f"The backup could not be read again: {error.strerror}.") from error
    finally:
        path.unlink(missing_ok=True)


def _end(backup: Backup) -> None:
    now = timezone.now()
    backup.state, backup.ended_at, backup.lease_until = BackupState.DONE, now, None
    backup.failure = ""
    if backup.keep_days is not None:
        backup.expires_at = now + timedelta(days=backup.keep_days)
    with transaction.atomic():
        backup.save(update_fields=WRITTEN)
        size = {"bytes": [None, backup.size_bytes]}
        record_change(backup.created_by, backup.deployment, "backup.completed", size)
    # As it is now: the wish may have been withdrawn, and its maker closed, while this was written.
    wishes = Backup.objects.select_related("deployment", "created_by")
    wish = wishes.filter(pk=backup.pk, then_deletes=True).first()
    if wish is not None:
        _delete_deployment(wish)


def _delete_deployment(backup: Backup) -> None:
    deployment, actor = backup.deployment, backup.created_by
    try:
        if actor is None or not actor.has_perm("deployment.delete", deployment):
            raise PortalError("The permission to delete it is missing by now.")
        delete_deployment(actor=actor, deployment=deployment, typed_name=deployment.name)
    except PortalError as error:
        message = f"{NOT_DELETED} {error.message}"[:500]
        Backup.objects.filter(pk=backup.pk).update(failure=message)


def _fail(backup: Backup, message: str) -> None:
    logger.warning("backup failed", extra={"deployment": backup.deployment.ref})
    with transaction.atomic():
        Backup.objects.filter(pk=backup.pk).update(
            state=BackupState.FAILED,
            failure=message[:500],
            ended_at=timezone.now(),
            lease_until=None,
        )
        reason = {"reason": [None, message[:200]]}
        record_change(backup.created_by, backup.deployment, "backup.failed", reason)
