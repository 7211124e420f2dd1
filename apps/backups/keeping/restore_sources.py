"""Where a cluster gets a backup that it is to restore."""

from dataclasses import replace

from apps.backups.models import Backup
from apps.dataplane.errors import Permanent
from apps.dataplane.spec import RestoreSpec
from apps.object_stores.client import BucketFailed, object_address
from apps.object_stores.models import ObjectStore
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
    restore = replace(restore, size_bytes=backup.size_bytes or 0, postgres=backup.postgres)
    return with_address(restore, backup.store, backup.object_key)


def with_address(restore: RestoreSpec, store: ObjectStore, key: str) -> RestoreSpec:
    """Return a restore with the address of an object in a bucket. Raises Permanent."""
    try:
        url = object_address(opened(store), key, good_for_seconds=GOOD_FOR_SECONDS)
    except BucketFailed as error:
        raise Permanent(error.message) from error
    return replace(restore, url=url, ca_certificate=store.ca_certificate)
