from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.upgrades import checking, jobs, running


@shared_task(name=jobs.CHECK, soft_time_limit=1_200, time_limit=1_230)
def check(upgrade_id: int, **_newer: Any) -> None:
    checking.check(upgrade_id=upgrade_id, now=timezone.now())


@shared_task(name="apps.upgrades.tasks.sweep_upgrades")
def sweep_upgrades(**_newer: Any) -> None:
    now = timezone.now()
    running.turn(now=now)
    for upgrade_id in checking.due(now=now):
        jobs.request_check(upgrade_id)
