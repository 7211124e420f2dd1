from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.deployments.editing.hibernating import turn_due
from apps.hibernation.idle import hibernate_idle


@shared_task(name="apps.hibernation.tasks.sweep")
def sweep(**_newer: Any) -> None:
    turn_due(now=timezone.now())


@shared_task(name="apps.hibernation.tasks.sweep_idle")
def sweep_idle(**_newer: Any) -> None:
    hibernate_idle(now=timezone.now())
