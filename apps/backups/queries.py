"""Reads of the pages of backups."""

from datetime import datetime

from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone
from packaging.version import Version

from apps.backups.models import UNFINISHED, Backup, BackupState
from apps.deployments.models import Deployment, Phase, Revision, RevisionState
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import store_for
from apps.runtimes.catalogue import Runtime, offered_runtimes

UNSETTLED = (RevisionState.PENDING, RevisionState.APPLYING)


def backups_of(deployment: Deployment) -> QuerySet[Backup]:
    """List the backups of a Deployment, newest first, with what their rows show."""
    rows = Backup.objects.filter(deployment=deployment).defer("sealed")
    return rows.select_related("created_by", "revision", "store").order_by("-created_at", "pk")


def has_place(deployment: Deployment) -> bool:
    """Return whether there is a place for its backups: on a cluster, a bucket of the organization's
    is needed.
    """
    if not deployment.cluster.is_kubernetes:
        return True
    return store_for(deployment.workspace.organization_id, ObjectStore.Use.BACKUPS) is not None


def total_size(deployment: Deployment) -> int:
    """Return the bytes that the backups of a Deployment take together."""
    rows = Backup.objects.filter(deployment=deployment, state=BackupState.DONE)
    return int(rows.aggregate(total=Sum("size_bytes"))["total"] or 0)


def unfinished_of(deployment: Deployment) -> Backup | None:
    """Return the backup that is waiting or being written, if there is one."""
    return Backup.objects.filter(deployment=deployment, state__in=UNFINISHED).first()


def waiting_for_a_worker(*, now: datetime, limit: int) -> list[str]:
    """Return the ids of backups that no worker has, oldest first."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Backup.objects.filter(free, state__in=UNFINISHED).order_by("created_at")
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:limit]]


def is_being_restored(backup: Backup) -> bool:
    """Return whether a revision that restores it is not applied yet."""
    return _restoring().filter(restore__backup=str(backup.pk)).exists()


def restored_from_buckets() -> list[Backup]:
    """Return the backups in buckets that are being restored."""
    wishes = _restoring().filter(restore__is_fetched=True).values_list("restore", flat=True)
    rows = Backup.objects.filter(pk__in=[wish["backup"] for wish in wishes if wish])
    return list(rows.filter(store__isnull=False))


def runtimes_to_restore(backup: Backup) -> list[Runtime]:
    """Return the runtimes that a new Deployment from a backup may have, newest first: those on
    offer to whose Airflow its database can be migrated.
    """
    offered = offered_runtimes(today=timezone.now().date())
    if not backup.airflow_version:
        return list(offered)
    oldest = Version(backup.airflow_version)
    return [one for one in offered if Version(one.airflow_version) >= oldest]


def _restoring() -> QuerySet[Revision]:
    rows = Revision.objects.filter(state__in=UNSETTLED, restore__isnull=False, applied_at=None)
    return rows.filter(deployment__phase=Phase.ACTIVE, deployment__wanted=F("pk"))
