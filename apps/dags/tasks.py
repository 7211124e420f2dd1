"""Jobs are hints; what they find is in the rows. See `apps.deployments.tasks`."""

from typing import Any

from celery import shared_task

from apps.dags import summaries
from apps.deployments.models import Deployment
from apps.deployments.tasks import queue_of, send


@shared_task(name="apps.dags.tasks.refresh", soft_time_limit=30, time_limit=40)
def refresh(deployment_id: int, **_newer: Any) -> None:
    rows = Deployment.objects.select_related("cluster", "applied", "wanted")
    deployment = rows.filter(pk=deployment_id).first()
    if deployment is not None:
        summaries.refresh_summaries(deployment=deployment)


@shared_task(name="apps.dags.tasks.sweep")
def sweep(**_newer: Any) -> None:
    """Ask every Airflow that is up, and forget what is kept of deleted Deployments."""
    summaries.forget_deleted()
    found = summaries.deployments_to_ask()
    send([(refresh, [one.pk], queue_of(one.cluster.shard)) for one in found])


def request_refresh(deployment: Deployment) -> None:
    """Let a worker ask this Airflow soon, because a person looks at its DAGs."""
    if summaries.is_due(deployment):
        send([(refresh, [deployment.pk], queue_of(deployment.cluster.shard))])
