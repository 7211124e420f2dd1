"""Jobs of this app. Unknown arguments come from a newer portal."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.portal.digests.services import send_due


@shared_task(name="apps.portal.tasks.send_digests", soft_time_limit=280, time_limit=300)
def send_digests(**_newer: Any) -> None:
    send_due(now=timezone.now())
