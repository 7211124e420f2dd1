from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.organizations import endings, leftovers


@shared_task(name="apps.organizations.tasks.sweep_invitations")
def sweep_invitations(**_newer: Any) -> None:
    leftovers.remove_leftovers(now=timezone.now())


@shared_task(name="apps.organizations.tasks.sweep_roles")
def sweep_roles(**_newer: Any) -> None:
    endings.end_what_is_over()
