"""Jobs of this app. Unknown arguments come from a newer portal."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.usage import rollup


@shared_task(name="apps.usage.tasks.sum_usage")
def sum_usage(**_newer: Any) -> None:
    rollup.roll_up(now=timezone.now())
