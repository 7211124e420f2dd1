from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.backups import jobs, queries
from apps.backups.keeping import cleanup, fetching, running, schedules

AT_ONCE = 10


@shared_task(
    name=jobs.BACK_UP,
    soft_time_limit=running.MOST_SECONDS,
    time_limit=running.MOST_SECONDS + 30,
)
def back_up(backup_id: str, **_newer: Any) -> None:
    running.back_up(backup_id=backup_id, now=timezone.now())


@shared_task(
    name=jobs.FETCH,
    soft_time_limit=fetching.MOST_SECONDS,
    time_limit=fetching.MOST_SECONDS + 30,
)
def fetch_backup(backup_id: str, **_newer: Any) -> None:
    fetching.fetch_backup(backup_id=backup_id, now=timezone.now())


@shared_task(name="apps.backups.tasks.sweep_backups")
def sweep_backups(**_newer: Any) -> None:
    now = timezone.now()
    schedules.begin_due(now=now)
    cleanup.remove_expired(now=now)
    for backup_id in queries.waiting_for_a_worker(now=now, limit=AT_ONCE):
        jobs.request_job(backup_id)
    for backup_id in fetching.wanted_now():
        jobs.request_fetch(backup_id)


@shared_task(name="apps.backups.tasks.sweep_backup_files")
def sweep_backup_files(**_newer: Any) -> None:
    cleanup.remove_stray_files(now=timezone.now())
    cleanup.forget_buckets()
