from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.audit import retention


@shared_task(name="apps.audit.tasks.sweep_events")
def sweep_events(**_newer: Any) -> None:
    retention.forget_expired(now=timezone.now())
