"""Asking for a backup, removing one, and changing when they are made: one audit event each."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.backups import jobs
from apps.backups.models import Backup, BackupSchedule, BackupState
from apps.backups.queries import has_place, is_being_restored, unfinished_of
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.models import Deployment
from apps.deployments.operations import lock_deployment, record_change
from apps.object_stores.client import delete
from apps.object_stores.queries import opened

MOST_BACKUPS = 200
NO_BUCKET = (
    "Backups of Deployments on Kubernetes go to a bucket, and there is none yet. An organization "
    "owner can add one in Settings, Buckets."
)


def why_not(deployment: Deployment) -> str:
    """Say why a Deployment cannot be backed up now, empty if it can."""
    if not has_place(deployment):
        return NO_BUCKET
    if deployment.applied_id is None:
        return "There is nothing to back up until Airflow has started for the first time."
    return ""


@transaction.atomic
def request_backup(
    *,
    actor: User | None,
    deployment: Deployment,
    reason: Backup.Reason = Backup.Reason.MANUAL,
    keep_days: int | None = None,
    then_deletes: bool = False,
) -> Backup:
    """Ask for a backup, which a job writes; `keep_days` counts from its end, None is until it is
    removed. A second call returns the one that is not finished yet. Raises Conflict or Refused.
    """
    deployment = lock_deployment(deployment)
    problem = why_not(deployment)
    if problem:
        raise Refused(problem)
    unfinished = unfinished_of(deployment)
    if unfinished is not None:
        return _reused(unfinished, then_deletes=then_deletes)
    if deployment.backups.count() >= MOST_BACKUPS:
        raise Refused(f"{deployment.name} has {MOST_BACKUPS} backups. Remove some first.")
    backup = Backup.objects.create(
        deployment=deployment,
        reason=reason,
        keep_days=keep_days,
        then_deletes=then_deletes,
        created_by=actor,
    )
    changed: dict[str, Any] = {"reason": [None, reason.label]}
    if then_deletes:
        changed["deletes the Deployment"] = [None, True]
    record_change(actor, deployment, "backup.requested", changed)
    transaction.on_commit(partial(jobs.request_job, str(backup.pk)), robust=True)
    return backup


def _reused(backup: Backup, *, then_deletes: bool) -> Backup:
    if then_deletes and not backup.then_deletes:
        raise Conflict("A backup is being made. Wait until it is complete.")
    return backup


@transaction.atomic
def remove_backup(*, actor: User | None, backup: Backup) -> None:
    """Remove a backup with its file or object. Raises Conflict while it is written or restored, and
    BucketFailed when it cannot be deleted from its bucket.
    """
    backup = Backup.objects.select_for_update(of=("self",)).get(pk=backup.pk)
    if backup.state in (BackupState.WAITING, BackupState.RUNNING):
        raise Conflict("This backup is being made. Wait until it is complete.")
    if is_being_restored(backup):
        raise Conflict("This backup is being restored. Wait until that is done.")
    if backup.store is not None:
        delete(opened(backup.store), backup.object_key)
    changes = {"made at": [_moment(backup.made_at), None]}
    record_change(actor, backup.deployment, "backup.removed", changes)
    path = Path(backup.path)
    backup.delete()
    transaction.on_commit(partial(path.unlink, missing_ok=True), robust=True)


@transaction.atomic
def save_schedule(
    *,
    actor: User,
    deployment: Deployment,
    weekday: int | None,
    at: time,
    time_zone: str,
    keep_days: int,
) -> BackupSchedule:
    """Back up a Deployment every day, or once a week on `weekday` (Monday is 0), at `at` in a time
    zone, and keep each for `keep_days`. Raises Conflict, Invalid or Refused.
    """
    deployment = lock_deployment(deployment)
    if not has_place(deployment):
        raise Refused(NO_BUCKET)
    zone = _zone(time_zone)
    before = BackupSchedule.objects.filter(pk=deployment.pk).first()
    schedule = BackupSchedule(
        deployment=deployment,
        weekday=weekday,
        at=at,
        time_zone=time_zone,
        keep_days=keep_days,
        next_at=next_time(weekday=weekday, at=at, zone=zone, after=timezone.now()),
        changed_by=actor,
    )
    schedule.save()
    changed = {"schedule": [before and in_words(before), in_words(schedule)]}
    record_change(actor, deployment, "backup.scheduled", changed)
    return schedule


@transaction.atomic
def remove_schedule(*, actor: User, deployment: Deployment) -> None:
    """Back up a Deployment no longer by itself. Backups that exist are kept until their day."""
    deployment = lock_deployment(deployment)
    schedule = BackupSchedule.objects.filter(pk=deployment.pk).first()
    if schedule is None:
        return
    schedule.delete()
    changed: Mapping[str, Any] = {"schedule": [in_words(schedule), None]}
    record_change(actor, deployment, "backup.unscheduled", changed)


def next_time(*, weekday: int | None, at: time, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first moment after `after` at which a schedule is due.

    Where daylight saving skips the time of day, it is due as much later; where it comes twice, the
    first time only (PEP 495).
    """
    day = after.astimezone(zone).date() - timedelta(days=1)
    while True:
        moment = datetime.combine(day, at, tzinfo=zone).astimezone(ZoneInfo("UTC"))
        if moment > after and weekday in (None, day.weekday()):
            return moment
        day += timedelta(days=1)


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def in_words(schedule: BackupSchedule) -> str:
    """Write a schedule as pages and the audit log do."""
    day = "Every day" if schedule.weekday is None else f"Every {WEEKDAYS[schedule.weekday]}"
    kept = f"kept for {schedule.keep_days} day{'' if schedule.keep_days == 1 else 's'}"
    return f"{day} at {schedule.at:%H:%M}, {schedule.time_zone}, {kept}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(f"There is no time zone {name[:64]}.", field="time_zone") from None


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
