"""Jobs are hints: each may be lost, doubled or late. Unknown arguments come from a newer portal.

Workers empty the queues in this order: `interactive`, what a person waits for; `reconcile.<shard>`,
everything else that talks to data planes, so that slow clusters delay only those of their own
shard; `background`, what may wait.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from celery import current_app, shared_task
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.deployments import cleanup
from apps.deployments.models import Deployment
from apps.deployments.reconciling import (
    breaker,
    cluster_jobs,
    cluster_settings,
    lifecycle,
    live_metrics,
    reconciler,
)
from apps.deployments.reconciling.lifecycle import Due

logger = logging.getLogger(__name__)

INTERACTIVE = "interactive"
SWEEP_LIMIT = 200
HINT_EXPIRES_SECONDS = 60
# An edit waits for its hint, so that is tried once and briefly. Workers are more patient.
HURRIED = {
    "max_retries": 0,
    "interval_start": 0,
    "socket_connect_timeout": 1,
    "socket_timeout": 1,
}


@shared_task(name="apps.deployments.tasks.reconcile")
def reconcile(deployment_id: int, **_newer: Any) -> None:
    lease = reconciler.reconcile(deployment_id=deployment_id)
    if lease is not None and lease.has_slot:
        _hint_due(lifecycle.due(limit=1, cluster_id=lease.cluster_id))


@shared_task(name="apps.deployments.tasks.sweep")
def sweep(**_newer: Any) -> None:
    cluster_settings.begin_some()
    _hint_due(lifecycle.due(limit=SWEEP_LIMIT))
    for purpose in cluster_jobs.PURPOSES:
        for job in cluster_jobs.take_due(purpose):
            arguments = [purpose, job.cluster_id, str(job.token)]
            send([(run_cluster_job, arguments, queue_of(job.shard))])
    for shard, cluster_ids in _by_shard(breaker.due_probes()).items():
        send([(probe, [cluster_ids], queue_of(shard))])


@shared_task(name="apps.deployments.tasks.do_chore", soft_time_limit=200, time_limit=220)
def run_cluster_job(purpose: str, cluster_id: int, token: str, **_newer: Any) -> None:
    cluster_jobs.run(purpose=purpose, cluster_id=cluster_id, token=uuid.UUID(token))


@shared_task(name="apps.deployments.tasks.probe")
def probe(cluster_ids: list[int], **_newer: Any) -> None:
    breaker.probe(cluster_ids=cluster_ids)


@shared_task(name="apps.deployments.tasks.measure", soft_time_limit=20, time_limit=30)
def measure(deployment_id: int, **_newer: Any) -> None:
    live_metrics.measure(deployment_id=deployment_id)


@shared_task(name="apps.deployments.tasks.sweep_drafts")
def sweep_drafts(**_newer: Any) -> None:
    cleanup.clean_up(now=timezone.now())


def hint(*deployment_ids: int) -> None:
    """Wake workers for Deployments that a person waits for. Without a broker the sweeper finds the
    rows.
    """
    send([(reconcile, [deployment_id], INTERACTIVE) for deployment_id in deployment_ids])


def request_live_metrics(deployment: Deployment) -> None:
    """Let a worker request the live metrics of a Deployment whose page is open: at an interval,
    whatever the number of viewers, and of a reachable cluster only.
    """
    if live_metrics.is_due(deployment):
        send([(measure, [deployment.pk], queue_of(deployment.cluster.shard))])


def queue_of(shard: int) -> str:
    """Return the queue of a shard's clusters; there are as many queues as the setting has."""
    return f"reconcile.{shard % settings.RECONCILE_SHARDS}"


def _hint_due(found: Iterable[Due]) -> None:
    queues = [(one, INTERACTIVE if one.is_urgent else queue_of(one.shard)) for one in found]
    send([(reconcile, [one.deployment_id], queue) for one, queue in queues])


def _by_shard(found: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    shards: dict[int, list[int]] = defaultdict(list)
    for cluster_id, shard in found:
        shards[shard % settings.RECONCILE_SHARDS].append(cluster_id)
    return shards


def send(messages: Sequence[tuple[Any, list[Any], str]]) -> None:
    """Send messages, each a job with its arguments and its queue, to the broker, if it answers."""
    if not messages:
        return
    connection = current_app.connection_for_write(transport_options=HURRIED)
    try:
        with connection:
            for job, arguments, queue in messages:
                job.apply_async(
                    args=arguments,
                    queue=queue,
                    connection=connection,
                    expires=HINT_EXPIRES_SECONDS,
                    retry=False,
                )
    except (OperationalError, *connection.channel_errors):
        # It does not answer, or its memory is full.
        logger.warning("hints not sent", extra={"messages": len(messages)})
