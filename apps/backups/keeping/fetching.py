"""The job that gets a backup from its bucket, so that the data plane finds it and restores it.

What fails is written into a note beside the place where the file would be, for the data plane to
say. Without either, the sweeper asks for the job again.
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path

from celery.exceptions import SoftTimeLimitExceeded
from django.db.models import Q

from apps.backups.models import Backup, BackupState
from apps.backups.queries import restored_from_buckets
from apps.dataplane.spec import failed_note
from apps.object_stores.client import BucketFailed
from apps.object_stores.queries import opened
from apps.object_stores.transfers import download

logger = logging.getLogger(__name__)

MOST_SECONDS = 3_600
LEASE = timedelta(seconds=MOST_SECONDS + 60)
TOO_LONG = "The bucket took longer than an hour to hand out the backup."


def fetch_backup(*, backup_id: str, now: datetime) -> None:
    """Write the file of a backup in a bucket, unless it is there or another worker does."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Backup.objects.filter(free, pk=backup_id, state=BackupState.DONE, store__isnull=False)
    if not rows.update(lease_until=now + LEASE):
        return
    backup = Backup.objects.select_related("store", "deployment").get(pk=backup_id)
    try:
        _fetch(backup)
    finally:
        Backup.objects.filter(pk=backup.pk).update(lease_until=None)


def wanted_now() -> list[str]:
    """Return the ids of backups that are being restored and are not here yet."""
    return [str(one.pk) for one in restored_from_buckets() if _is_wanted(Path(one.path))]


def _is_wanted(path: Path) -> bool:
    return not path.is_file() and not failed_note(path).is_file()


def _fetch(backup: Backup) -> None:
    path = Path(backup.path)
    if backup.store is None or path.is_file():
        return
    problem = ""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        download(
            opened(backup.store),
            backup.object_key,
            path,
            sha256=backup.sha256,
            size=backup.size_bytes or 0,
        )
    except BucketFailed as error:
        problem = error.message
    except SoftTimeLimitExceeded:
        problem = TOO_LONG
    except OSError as error:
        problem = f"The backup could not be written here: {error.strerror}."
    if problem:
        logger.warning("backup not fetched", extra={"backup": str(backup.pk), "reason": problem})
        failed_note(path).write_text(problem)
