"""Jobs of this app. Unknown arguments come from a newer portal."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.objectives import counting


@shared_task(name="apps.objectives.tasks.count_objectives")
def count_objectives(**_newer: Any) -> None:
    now = timezone.now()
    counting.count_runs(now=now)
    counting.forget_days(now=now)
