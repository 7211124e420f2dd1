from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.airflow_imports import jobs, queries
from apps.airflow_imports.work import cleanup, reading, sending, unpausing
from apps.dataplane.imports.scratch import remove_leftovers

AT_ONCE = 5


@shared_task(
    name=jobs.READ,
    soft_time_limit=reading.MOST_SECONDS,
    time_limit=reading.MOST_SECONDS + 30,
)
def read_import(import_id: str, **_newer: Any) -> None:
    if reading.read_import(import_id=import_id, now=timezone.now()):
        for waiting in queries.waiting_for_a_worker(now=timezone.now(), limit=1):
            jobs.request_read(waiting)


@shared_task(
    name=jobs.SEND,
    soft_time_limit=sending.MOST_SECONDS,
    time_limit=sending.MOST_SECONDS + 30,
)
def send_import(import_id: str, **_newer: Any) -> None:
    sending.send_import(import_id=import_id, now=timezone.now())


@shared_task(name=jobs.UNPAUSE, soft_time_limit=1_100, time_limit=1_130)
def unpause_dags(import_id: str, **_newer: Any) -> None:
    unpausing.unpause_dags(import_id=import_id, now=timezone.now())


@shared_task(name="apps.airflow_imports.tasks.sweep_imports")
def sweep_imports(**_newer: Any) -> None:
    now = timezone.now()
    cleanup.remove_expired(now=now)
    cleanup.remove_stray_files(now=now)
    remove_leftovers(reading.scratch())
    for import_id in queries.waiting_for_a_worker(now=now, limit=AT_ONCE):
        jobs.request_read(import_id)
    for import_id in sending.wanted_now(now=now):
        jobs.request_send(import_id)
    for import_id in unpausing.asked():
        jobs.request_unpause(import_id)
