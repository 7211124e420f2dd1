from typing import Any

from celery import shared_task

from apps.sso.protocols.assertions import forget_ended_assertions


@shared_task(name="apps.sso.tasks.sweep_assertions")
def sweep_assertions(**_newer: Any) -> None:
    forget_ended_assertions()
