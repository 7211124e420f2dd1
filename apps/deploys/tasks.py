from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.deploys import leftovers


@shared_task(name="apps.deploys.tasks.sweep_archives")
def sweep_archives(**_newer: Any) -> None:
    leftovers.remove_unused_archives(now=timezone.now())
