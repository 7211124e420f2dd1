"""Where a cluster gets a backup that it is to restore."""

from dataclasses import replace

from apps.backups.models import Backup
from apps.dataplane.errors import Permanent
from apps.dataplane.spec import RestoreSpec
from apps.object_stores.client import BucketFailed, object_address
from apps.object_stores.queries import opened

GOOD_FOR_SECONDS = 2 * 3600
GONE = "The backup that is to be restored is gone, so nothing was changed."


def restore_source(restore: RestoreSpec, backup_id: str) -> RestoreSpec:
    """Return what a cluster needs to get a backup: an address that is good for it alone and for two
    hours. Raises Permanent.
    """
    rows = Backup.objects.select_related("store", "deployment")
    backup = rows.filter(pk=backup_id, store__isnull=False).first()
    if backup is None or backup.store is None:
        raise Permanent(GONE)
    try:
        bucket = opened(backup.store)
        url = object_address(bucket, backup.object_key, good_for_seconds=GOOD_FOR_SECONDS)
    except BucketFailed as error:
        raise Permanent(error.message) from error
    return replace(
        restore,
        url=url,
        size_bytes=backup.size_bytes or 0,
        ca_certificate=backup.store.ca_certificate,
        postgres=backup.postgres,
    )
