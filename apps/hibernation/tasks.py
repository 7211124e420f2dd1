from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.deployments.editing.hibernating import turn_due


@shared_task(name="apps.hibernation.tasks.sweep")
def sweep(**_newer: Any) -> None:
    turn_due(now=timezone.now())
