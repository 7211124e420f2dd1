"""Copies of public pages in buckets: each file that changed is sent, soon after it was written.

It has a thread of its own, because a bucket may be slow. What was sent is remembered with its
checksum, so that the rest is not sent again, and can be deleted when the page is not for everyone
any more. Several processes may do it: `tried_at` is claimed by an update.
"""

import hashlib
import logging
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet

from apps.core.errors import PortalError
from apps.object_stores import client
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened
from apps.status_pages.copies.files import File, unpacked
from apps.status_pages.copies.models import BucketCopy, Copy
from apps.status_pages.setup.models import StatusPage

logger = logging.getLogger(__name__)

AGAIN = timedelta(seconds=30)
# A bucket that was given up may never answer again.
GIVE_UP = timedelta(days=7)
CACHE = "public, max-age=15"


def send_due(*, now: datetime) -> int:
    """Send copies that are newer than what their buckets have; return how many were sent."""
    _begin_new()
    rested = Q(tried_at=None) | Q(problem="") | Q(tried_at__lte=now - AGAIN)
    newer = Q(sent_at=None) | Q(sent_at__lt=F("page__copy__built_at")) | ~Q(problem="")
    rows = _wanted().filter(rested, newer).select_related("page", "store")
    return sum(_send(row, now) for row in rows.order_by("pk"))


def remove_unwanted(*, now: datetime) -> int:
    """Delete from buckets what is not to be there any more, and forget the keys of buckets that are
    used no longer; return how many copies were removed.
    """
    rows = BucketCopy.objects.exclude(pk__in=_wanted().values("pk"))
    rested = rows.filter(Q(tried_at=None) | Q(tried_at__lte=now - AGAIN))
    count = sum(_remove(row, now) for row in rested.select_related("store", "page"))
    retired = ObjectStore.objects.filter(
        use=ObjectStore.Use.STATUS_PAGE, retired_at__isnull=False, status_copies=None
    )
    retired.delete()
    return count


def _wanted() -> QuerySet[BucketCopy]:
    return BucketCopy.objects.filter(
        page__is_on=True,
        page__audience=StatusPage.Audience.PUBLIC,
        page__copy__isnull=False,
        store__retired_at=None,
    )


def _begin_new() -> None:
    stores = ObjectStore.objects.filter(use=ObjectStore.Use.STATUS_PAGE, retired_at=None)
    new = stores.filter(status_copies=None, organization__status_page__is_on=True)
    for store_id, page_id in new.values_list("pk", "organization__status_page__pk"):
        BucketCopy.objects.get_or_create(store_id=store_id, page_id=page_id)


def _claimed(row: BucketCopy, now: datetime) -> bool:
    rows = BucketCopy.objects.filter(pk=row.pk, tried_at=row.tried_at)
    return bool(rows.update(tried_at=now))


def _send(row: BucketCopy, now: datetime) -> bool:
    copy = Copy.objects.get(page_id=row.page_id)
    if not _claimed(row, now):
        return False
    try:
        _send_files(row, unpacked(bytes(copy.packed)))
    except PortalError as error:
        row.problem = error.message[:500]
        logger.warning("status page not sent to its bucket", extra={"status_page": row.page_id})
    else:
        row.problem, row.sent_at = "", copy.built_at
    row.save(update_fields=["files", "problem", "sent_at"])
    return not row.problem


def _send_files(row: BucketCopy, files: dict[str, File]) -> None:
    bucket = opened(row.store)
    keys = {f"{row.page.address}/{name}": file for name, file in files.items()}
    # The page itself comes last: what it links to is there by then.
    for key in sorted(keys, key=lambda one: (one.endswith("/index.html"), one)):
        body = keys[key].text.encode()
        digest = hashlib.sha256(body).hexdigest()
        if row.files.get(key) != digest:
            headers = {"Content-Type": keys[key].type, "Cache-Control": CACHE}
            client.put(bucket, f"{row.store.prefix}{key}", body, headers)
            row.files[key] = digest
    for key in [one for one in row.files if one not in keys]:
        client.delete(bucket, f"{row.store.prefix}{key}")
        del row.files[key]


def _remove(row: BucketCopy, now: datetime) -> bool:
    if not _claimed(row, now):
        return False
    retired_at = row.store.retired_at
    try:
        _send_files(row, {})
    except PortalError as error:
        if retired_at is None or now - retired_at < GIVE_UP:
            row.problem = error.message[:500]
            row.save(update_fields=["files", "problem"])
            return False
    row.delete()
    return True
