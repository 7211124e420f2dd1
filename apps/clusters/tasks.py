from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.clusters.connections.kept import remove_expired


@shared_task(name="apps.clusters.tasks.sweep_kept_secrets")
def sweep_kept_secrets(**_newer: Any) -> None:
    remove_expired(now=timezone.now())
