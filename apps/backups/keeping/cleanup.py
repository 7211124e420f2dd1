"""Removal of backups whose time is over, and of files that no row names."""

import logging
from datetime import datetime, timedelta
from pathlib import Path

from django.core.files.storage import storages

from apps.backups.models import Backup
from apps.backups.queries import is_being_restored

logger = logging.getLogger(__name__)

AT_ONCE = 100
# A dump that is being written has no row that is done, and takes an hour at most.
STRAY_AFTER = timedelta(days=1)


def remove_expired(*, now: datetime) -> int:
    """Remove backups that were to be kept until now; return how many."""
    n_removed = 0
    for backup in Backup.objects.filter(expires_at__lt=now).order_by("expires_at")[:AT_ONCE]:
        if is_being_restored(backup):
            continue
        path = Path(backup.path)
        backup.delete()
        path.unlink(missing_ok=True)
        n_removed += 1
    if n_removed:
        logger.info("expired backups removed", extra={"backups": n_removed})
    return n_removed


def remove_stray_files(*, now: datetime) -> int:
    """Remove files of the folder that belong to no backup: of workers that were killed, and of
    Deployments whose rows are gone. Return how many.
    """
    folder = Path(storages["backups"].path(""))
    if not folder.is_dir():
        return 0
    known = {str(pk) for pk in Backup.objects.values_list("pk", flat=True)}
    before = (now - STRAY_AFTER).timestamp()
    strays = [
        path
        for path in folder.glob("*.dump*")
        if path.stat().st_mtime < before and not (path.suffix == ".dump" and path.stem in known)
    ]
    for path in strays:
        path.unlink(missing_ok=True)
    return len(strays)
