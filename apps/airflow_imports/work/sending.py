"""The job that puts an archive into the bucket from which a cluster restores it.

It is there for the operation that wants it: every other one, such as that of a retry, lets a worker
look again, and send it once more where the object is gone. A worker that was killed leaves a claim
that ends, and no object, because one appears when it is complete.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.db.models import F, Max, Q, QuerySet

from apps.airflow_imports.models import AirflowImport, ImportState
from apps.backups.keeping.restore_sources import with_address
from apps.dataplane.errors import Permanent
from apps.dataplane.spec import RestoreSpec
from apps.deployments.models import Phase, RevisionState
from apps.object_stores import transfers
from apps.object_stores.client import BucketFailed, ObjectMissing, delete, size_of
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened, store_for

logger = logging.getLogger(__name__)

MOST_SECONDS = 3_600
LEASE = timedelta(seconds=MOST_SECONDS + 60)
MOST_ATTEMPTS = 3
GONE = "What was read of that Airflow is gone, so nothing was restored. Bring it again."
SENDING = "The database is being put into the bucket {store}."
TOO_LONG = "The bucket took longer than an hour to take the database. Retry, or use another bucket."
INTERRUPTED = (
    "Putting the database into the bucket was cut off three times, so it was given up. Retry."
)


def restore_source(restore: RestoreSpec, archive_key: str) -> RestoreSpec:
    """Return what a cluster needs to get an archive: an address that is good for it alone and for
    two hours, or what it waits for. Raises Permanent.
    """
    rows = AirflowImport.objects.select_related("store")
    row = rows.filter(pk=archive_key.rpartition("/")[2]).first()
    if row is None or row.store is None:
        raise Permanent(GONE)
    if row.sent_for != _operation_number(row):
        waiting = f"{SENDING.format(store=row.store)} {row.send_failure}".strip()
        return replace(restore, waiting=waiting)
    if row.send_failure:
        raise Permanent(row.send_failure)
    restore = replace(restore, size_bytes=row.size_bytes or 0, postgres=row.postgres, waiting="")
    return with_address(restore, row.store, row.object_key)


def wanted_now(*, now: datetime, limit: int = 5) -> list[str]:
    """Return the ids of imports that clusters wait for and that no worker has."""
    rows = _free(now).annotate(number=Max("deployment__operations__number"))
    rows = rows.exclude(sent_for=F("number")) | rows.filter(sent_for=None)
    return [str(pk) for pk in rows.order_by("created_at").values_list("pk", flat=True)[:limit]]


def send_import(*, import_id: str, now: datetime) -> None:
    """Put one archive into its bucket, unless it is there or another worker does it."""
    rows = _free(now).filter(pk=import_id)
    row = rows.select_related("store", "workspace").first()
    if row is None:
        return
    number = _operation_number(row)
    claim = AirflowImport.objects.filter(pk=row.pk, attempts=row.attempts, sent_for=row.sent_for)
    claim = claim.filter(Q(lease_until=None) | Q(lease_until__lt=now))
    if row.sent_for == number or not claim.update(
        lease_until=now + LEASE, attempts=row.attempts + 1
    ):
        return
    try:
        if row.attempts >= MOST_ATTEMPTS:
            raise BucketFailed(INTERRUPTED)
        _send(row)
    except BucketFailed as error:
        _fail(row, number, error, now)
    else:
        _end(row, number, "")


def _send(row: AirflowImport) -> None:
    try:
        _choose_store(row)
        if row.store is None or _is_there(row, row.store):
            return
        if not row.archive.is_file():
            raise BucketFailed(GONE)
        transfers.upload(opened(row.store), row.object_key, row.archive)
    except SoftTimeLimitExceeded:
        raise BucketFailed(TOO_LONG) from None
    except OSError as error:
        raise BucketFailed(f"What was read cannot be read again: {error.strerror}.") from error


def _choose_store(row: AirflowImport) -> None:
    """Use the bucket that the organization uses by now. Known before anything is there, so that
    removing the import removes it there, too.
    """
    store = store_for(row.workspace.organization_id, ObjectStore.Use.BACKUPS)
    if store is None or row.store is None or store == row.store:
        return
    try:
        delete(opened(row.store), row.object_key)
    except BucketFailed as error:
        extra = {"import": str(row.pk), "reason": error.message}
        logger.warning("import not removed from its former bucket", extra=extra)
    row.store = store
    row.save(update_fields=["store"])


def _is_there(row: AirflowImport, store: ObjectStore) -> bool:
    try:
        return size_of(opened(store), row.object_key) == row.size_bytes
    except ObjectMissing:
        return False


def _fail(row: AirflowImport, number: int, error: BucketFailed, now: datetime) -> None:
    """Let what may pass be tried again, a minute longer later each time."""
    attempts = row.attempts + 1
    if not error.is_passing or attempts >= MOST_ATTEMPTS:
        _end(row, number, error.message)
        return
    AirflowImport.objects.filter(pk=row.pk).update(
        lease_until=now + timedelta(minutes=attempts), send_failure=error.message[:500]
    )


def _end(row: AirflowImport, number: int, failure: str) -> None:
    if failure:
        extra = {"import": str(row.pk), "reason": failure}
        logger.warning("import not put into its bucket", extra=extra)
    AirflowImport.objects.filter(pk=row.pk).update(
        lease_until=None, attempts=0, sent_for=number, send_failure=failure[:500]
    )


def _free(now: datetime) -> QuerySet[AirflowImport]:
    return AirflowImport.objects.filter(
        Q(lease_until=None) | Q(lease_until__lt=now),
        state=ImportState.USED,
        store__isnull=False,
        deployment__phase=Phase.ACTIVE,
        deployment__wanted__restore__isnull=False,
        deployment__wanted__applied_at=None,
        deployment__wanted__state__in=(RevisionState.PENDING, RevisionState.APPLYING),
    )


def _operation_number(row: AirflowImport) -> int:
    """Return the number of the newest operation of its Deployment."""
    rows = AirflowImport.objects.filter(pk=row.pk)
    return int(rows.aggregate(number=Max("deployment__operations__number"))["number"] or 0)
