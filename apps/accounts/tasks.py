from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.accounts import cleanup


@shared_task(name="apps.accounts.tasks.sweep_links_and_mail")
def sweep_links_and_mail(**_newer: Any) -> None:
    cleanup.clean_up(now=timezone.now())
