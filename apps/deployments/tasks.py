"""Jobs are hints: each may be lost, doubled or late. Unknown arguments come from a newer portal."""

import logging
from typing import Any

from celery import shared_task
from kombu.exceptions import OperationalError

from apps.deployments import lifecycle, reconciler

logger = logging.getLogger(__name__)

SWEEP_LIMIT = 200
HINT_EXPIRES_SECONDS = 60


@shared_task(name="apps.deployments.tasks.reconcile")  # type: ignore[untyped-decorator]
def reconcile(deployment_id: int, **_newer: Any) -> None:
    reconciler.reconcile(deployment_id=deployment_id)


@shared_task(name="apps.deployments.tasks.sweep")  # type: ignore[untyped-decorator]
def sweep(**_newer: Any) -> None:
    for deployment_id in lifecycle.due_ids(limit=SWEEP_LIMIT):
        hint(deployment_id)


def hint(deployment_id: int) -> None:
    """Wake a worker for a Deployment. Without a broker the sweeper finds the row anyway."""
    try:
        reconcile.apply_async(args=[deployment_id], expires=HINT_EXPIRES_SECONDS, retry=False)
    except OperationalError:
        logger.warning("hint not sent", extra={"deployment_id": deployment_id})
