from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.observability.incidents import evaluation


@shared_task(name="apps.observability.tasks.evaluate_incidents")
def evaluate_incidents(**_newer: Any) -> None:
    evaluation.evaluate_all(now=timezone.now())


@shared_task(name="apps.observability.tasks.sweep_incidents")
def sweep_incidents(**_newer: Any) -> None:
    evaluation.forget_closed(now=timezone.now())
