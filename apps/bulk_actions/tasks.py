from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.bulk_actions import jobs, running


@shared_task(name=jobs.STEP)
def step(action_id: int, **_newer: Any) -> None:
    running.step(action_id=action_id)


@shared_task(name="apps.bulk_actions.tasks.sweep")
def sweep(**_newer: Any) -> None:
    """Go on with all actions; what a killed worker left is found here."""
    for action_id in running.due():
        running.step(action_id=action_id)


@shared_task(name="apps.bulk_actions.tasks.remove_old")
def remove_old(**_newer: Any) -> None:
    running.remove_old(now=timezone.now())
