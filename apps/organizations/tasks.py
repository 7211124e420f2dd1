from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.organizations import cleanup
from apps.organizations.members import expiry as endings
from apps.organizations.tokens import logins


@shared_task(name="apps.organizations.tasks.sweep_leftovers")
def sweep_expired(**_newer: Any) -> None:
    cleanup.clean_up(now=timezone.now())
    cleanup.close_idle_service_users()
    logins.remove_expired()


@shared_task(name="apps.organizations.tasks.sweep_roles")
def sweep_roles(**_newer: Any) -> None:
    endings.expire_roles()
