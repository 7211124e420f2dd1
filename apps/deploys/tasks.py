from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.deploys import cleanup
from apps.deploys.git.tasks import poll, sweep
from apps.deploys.incoming import blobs

# Celery looks for jobs in this module alone.
__all__ = ["poll", "sweep", "sweep_archives"]


@shared_task(name="apps.deploys.tasks.sweep_archives")
def sweep_archives(**_newer: Any) -> None:
    cleanup.remove_unused_archives(now=timezone.now())
    blobs.remove_old(now=timezone.now())
