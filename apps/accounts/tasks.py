from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.accounts import leftovers


@shared_task(name="apps.accounts.tasks.sweep_links_and_mail")
def sweep_links_and_mail(**_newer: Any) -> None:
    leftovers.remove_leftovers(now=timezone.now())
