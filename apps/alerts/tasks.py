"""Jobs of this app. Unknown arguments come from a newer portal."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.alerts import cleanup


@shared_task(name="apps.alerts.tasks.sweep_alerts")
def sweep_alerts(**_newer: Any) -> None:
    cleanup.forget_old(now=timezone.now())
