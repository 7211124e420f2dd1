"""Removal of what is kept of imports: rows with their archives and objects, and stray files."""

import logging
import shutil
from datetime import datetime, timedelta

from apps.airflow_imports.models import AirflowImport
from apps.airflow_imports.queries import is_needed, is_to_be_unpaused
from apps.airflow_imports.services import KEPT
from apps.object_stores.client import BucketFailed, delete
from apps.object_stores.queries import opened
from apps.object_stores.removal import remove_later
from apps.organizations.models import Workspace

logger = logging.getLogger(__name__)


def remove_expired(*, now: datetime) -> int:
    """Remove imports a week after they ended, with their archives; return how many. Which DAGs ran
    before is kept as long as they can be unpaused.
    """
    count = 0
    rows = AirflowImport.objects.filter(expires_at__lt=now).select_related("deployment", "store")
    for row in rows.order_by("expires_at")[:50]:
        if is_needed(row) or not _delete_object(row):
            continue
        archive = row.archive
        if is_to_be_unpaused(row):
            row.expires_at, row.store = now + KEPT, None
            row.save(update_fields=["expires_at", "store"])
        else:
            row.delete()
            count += 1
        archive.unlink(missing_ok=True)
    return count


def _delete_object(row: AirflowImport) -> bool:
    if row.store is None:
        return True
    try:
        delete(opened(row.store), row.object_key)
    except BucketFailed as error:
        # Tried again with the next sweep.
        extra = {"import": str(row.pk), "reason": error.message}
        logger.warning("expired import not removed from its bucket", extra=extra)
        return False
    return True


def remove_stray_files(*, now: datetime) -> int:
    """Remove files that no import names, and folders of workers that were killed, a day after they
    were written; return how many.
    """
    folder = AirflowImport().archive.parent
    if not folder.is_dir():
        return 0
    known = {str(pk) for pk in AirflowImport.objects.values_list("pk", flat=True)}
    before = (now - timedelta(days=1)).timestamp()
    strays = [
        path
        for path in folder.iterdir()
        if path.name.partition(".")[0] not in known and path.stat().st_mtime < before
    ]
    for path in strays:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(strays)


def remove_objects_of(workspace: Workspace) -> None:
    """Let a job delete what lies in buckets of the imports of a workspace that is being deleted."""
    rows = AirflowImport.objects.filter(workspace=workspace, store__isnull=False)
    remove_later((one.store, one.object_key) for one in rows.select_related("store") if one.store)
