from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.deploys import cleanup
from apps.deploys.incoming import blobs


@shared_task(name="apps.deploys.tasks.sweep_archives")
def sweep_archives(**_newer: Any) -> None:
    cleanup.remove_unused_archives(now=timezone.now())
    blobs.remove_old(now=timezone.now())
