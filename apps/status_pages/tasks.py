"""Jobs of this app. Unknown arguments come from a newer portal."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.status_pages import cleanup


@shared_task(name="apps.status_pages.tasks.sweep_status_pages")
def sweep_status_pages(**_newer: Any) -> None:
    cleanup.forget_old(now=timezone.now())
