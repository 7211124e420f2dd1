"""Objects whose rows are gone, such as backups of a deleted workspace: a job deletes them, and asks
again while their bucket is away.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from apps.object_stores.client import BucketFailed, delete
from apps.object_stores.models import ObjectStore, UnwantedObject
from apps.object_stores.queries import opened

logger = logging.getLogger(__name__)

AT_ONCE = 100
# A bucket that does not answer for so long is no longer there, or no longer ours.
GIVEN_UP_AFTER = timedelta(days=30)


def remove_later(objects: Iterable[tuple[ObjectStore, str]]) -> None:
    """Let a job delete objects, named by bucket and key."""
    UnwantedObject.objects.bulk_create(
        [UnwantedObject(store=store, key=key) for store, key in objects]
    )


def remove_unwanted(*, now: datetime) -> int:
    """Delete what nothing names any more, as far as the buckets answer; return how much."""
    count = 0
    for store in ObjectStore.objects.filter(unwanted_objects__isnull=False).distinct():
        try:
            for row in store.unwanted_objects.order_by("pk")[:AT_ONCE]:
                delete(opened(store), row.key)
                row.delete()
                count += 1
        except BucketFailed as error:
            _put_off(store, error, now)
    return count


def _put_off(store: ObjectStore, error: BucketFailed, now: datetime) -> None:
    rows = store.unwanted_objects.filter(since__lt=now - GIVEN_UP_AFTER)
    n_given_up, _ = rows.delete()
    extra = {"bucket": str(store), "reason": error.message, "objects given up": n_given_up}
    logger.warning("objects not removed from a bucket", extra=extra)
