from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.image_retention.pushed_images import remove_pushed_images
from apps.image_retention.sweeping import remove_unused_images


@shared_task(name="apps.image_retention.tasks.sweep_images", soft_time_limit=840, time_limit=870)
def sweep_images(**_newer: Any) -> None:
    remove_unused_images(now=timezone.now())


@shared_task(
    name="apps.image_retention.tasks.sweep_pushed_images", soft_time_limit=840, time_limit=870
)
def sweep_pushed_images(**_newer: Any) -> None:
    remove_pushed_images(now=timezone.now())
