"""Jobs are hints: each may be lost, doubled or late. Unknown arguments come from a newer portal."""

import logging
from typing import Any

from celery import current_app, shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.deployments import leftovers, lifecycle, reconciler

logger = logging.getLogger(__name__)

SWEEP_LIMIT = 200
HINT_EXPIRES_SECONDS = 60
# An edit waits for its hint, so that is tried once and briefly. Workers are more patient.
HURRIED = {
    "max_retries": 0,
    "interval_start": 0,
    "socket_connect_timeout": 1,
    "socket_timeout": 1,
}


@shared_task(name="apps.deployments.tasks.reconcile")  # type: ignore[untyped-decorator]
def reconcile(deployment_id: int, **_newer: Any) -> None:
    reconciler.reconcile(deployment_id=deployment_id)


@shared_task(name="apps.deployments.tasks.sweep")  # type: ignore[untyped-decorator]
def sweep(**_newer: Any) -> None:
    ids = lifecycle.due_ids(limit=SWEEP_LIMIT)
    if ids:
        hint(*ids)


@shared_task(name="apps.deployments.tasks.sweep_drafts")  # type: ignore[untyped-decorator]
def sweep_drafts(**_newer: Any) -> None:
    leftovers.remove_leftovers(now=timezone.now())


def hint(*deployment_ids: int) -> None:
    """Wake workers for Deployments. Without a broker the sweeper finds the rows anyway."""
    try:
        with current_app.connection_for_write(transport_options=HURRIED) as connection:
            for deployment_id in deployment_ids:
                reconcile.apply_async(
                    args=[deployment_id],
                    connection=connection,
                    expires=HINT_EXPIRES_SECONDS,
                    retry=False,
                )
    except OperationalError:
        logger.warning("hint not sent", extra={"deployments": deployment_ids})
