from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.object_stores import removal


@shared_task(name="apps.object_stores.tasks.remove_unwanted_objects")
def remove_unwanted_objects(**_newer: Any) -> None:
    removal.remove_unwanted(now=timezone.now())
