"""Removal of backups whose time is over, and of files that no row names."""

import logging
from datetime import datetime, timedelta
from pathlib import Path

from django.core.files.storage import storages

from apps.backups.models import Backup
from apps.backups.queries import is_being_restored
from apps.object_stores.client import BucketFailed, delete
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened
from apps.object_stores.removal import remove_later
from apps.organizations.models import Workspace

logger = logging.getLogger(__name__)

AT_ONCE = 100
# A dump that is being written has no row that is done, and takes an hour at most.
STRAY_AFTER = timedelta(days=1)


def remove_expired(*, now: datetime) -> int:
    """Remove backups that were to be kept until now; return how many."""
    n_removed, away = 0, set[int]()
    rows = Backup.objects.filter(expires_at__lt=now).select_related("store", "deployment")
    for backup in rows.order_by("expires_at")[:AT_ONCE]:
        if backup.store_id in away or is_being_restored(backup):
            continue
        if not _delete_object(backup):
            # The others there are tried with the next sweep, too.
            away.add(backup.store_id or 0)
            continue
        path = Path(backup.path)
        backup.delete()
        path.unlink(missing_ok=True)
        n_removed += 1
    if n_removed:
        logger.info("expired backups removed", extra={"backups": n_removed})
    return n_removed


def _delete_object(backup: Backup) -> bool:
    if backup.store is None:
        return True
    try:
        delete(opened(backup.store), backup.object_key)
    except BucketFailed as error:
        extra = {"backup": str(backup.pk), "reason": error.message}
        logger.warning("expired backup not removed from its bucket", extra=extra)
        return False
    return True


def forget_buckets() -> int:
    """Forget the keys of buckets that are used no longer and have nothing of the portal; return how
    many.
    """
    rows = ObjectStore.objects.filter(use=ObjectStore.Use.BACKUPS, retired_at__isnull=False)
    # A higher app owns imports; its rows are reached without an import.
    count, _ = rows.filter(backups=None, airflow_imports=None, unwanted_objects=None).delete()
    return count


def remove_objects_of(workspace: Workspace) -> None:
    """Let a job delete what lies in buckets of the backups of a workspace that is being deleted."""
    rows = Backup.objects.filter(deployment__workspace=workspace, store__isnull=False)
    rows = rows.select_related("store", "deployment")
    remove_later((one.store, one.object_key) for one in rows if one.store)


def remove_stray_files(*, now: datetime) -> int:
    """Remove files of the folder that belong to no backup: of workers that were killed, and of
    Deployments whose rows are gone. Return how many.
    """
    folder = Path(storages["backups"].path(""))
    if not folder.is_dir():
        return 0
    # Of one in a bucket, a file is here only to be restored.
    here = Backup.objects.filter(store=None)
    known = {str(pk) for pk in here.values_list("pk", flat=True)}
    before = (now - STRAY_AFTER).timestamp()
    strays = [
        path
        for path in folder.glob("*.dump*")
        if path.stat().st_mtime < before and not (path.suffix == ".dump" and path.stem in known)
    ]
    for path in strays:
        path.unlink(missing_ok=True)
    return len(strays)
