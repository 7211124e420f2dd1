"""Test the storage of a cluster: asked for on its page, done by a worker, stored in its row.

`Cluster.storage_test` is empty before the first one; then `asked_at` (ISO time) with `findings`, a
list of `Finding` as JSON, and `ended_at` once it is over.
"""

import logging
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.accounts.models import User
from apps.clusters.connections.planes import plane_for
from apps.clusters.connections.probe import tidied
from apps.clusters.connections.services import record_on_cluster
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Invalid
from apps.dataplane.base import SupportsStorageTest
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.status import Finding

logger = logging.getLogger(__name__)

JOB = "apps.clusters.tasks.test_storage"
QUEUE = "background"
# Longer than any test takes: its worker was lost, or there is none.
LONGEST = timedelta(minutes=5)


def is_running(cluster: Cluster, *, now: datetime) -> bool:
    """Return whether a storage test was asked for and may still end."""
    test = cluster.storage_test
    return bool(test) and not test.get("ended_at") and now < _asked_at(test) + LONGEST


def is_lost(cluster: Cluster, *, now: datetime) -> bool:
    """Return whether a storage test did not end in time."""
    test = cluster.storage_test
    return bool(test) and not test.get("ended_at") and not is_running(cluster, now=now)


def request_storage_test(*, actor: User, cluster: Cluster, now: datetime) -> None:
    """Let a worker test the storage soon. Raises Conflict while a test runs, Invalid for a cluster
    that has no volumes to test.
    """
    if not cluster.is_kubernetes:
        raise Invalid("Only the storage of Kubernetes clusters can be tested.")
    with transaction.atomic():
        locked = Cluster.objects.select_for_update(no_key=True).get(pk=cluster.pk)
        if is_running(locked, now=now):
            raise Conflict("A storage test is running already. Its result appears here.")
        cluster.storage_test = {"asked_at": now.isoformat(), "findings": []}
        cluster.save(update_fields=["storage_test"])
        record_on_cluster("cluster.storage_tested", actor, cluster)
    _send(cluster, now)


def run_storage_test(*, cluster_id: int, asked_at: str, now: datetime) -> None:
    """Do a storage test that is still wanted, and store what it found. No transaction is open
    meanwhile.
    """
    cluster = Cluster.objects.there().filter(pk=cluster_id).first()
    if cluster is None or not is_running(cluster, now=now):
        return
    if cluster.storage_test["asked_at"] == asked_at:
        _store(cluster, asked_at, _found(cluster))


def _found(cluster: Cluster) -> tuple[Finding, ...]:
    try:
        plane = plane_for(cluster)
        if isinstance(plane, SupportsStorageTest):
            return plane.try_storage()
    except DataPlaneError as error:
        return (_not_done(error.message, "Test the cluster again: that says what is wrong."),)
    return (_not_done("This kind of cluster has no volumes to test.", ""),)


def _store(cluster: Cluster, asked_at: str, found: tuple[Finding, ...]) -> None:
    same = Cluster.objects.filter(pk=cluster.pk, storage_test__asked_at=asked_at)
    result = {
        "asked_at": asked_at,
        "ended_at": timezone.now().isoformat(),
        "findings": tidied([asdict(finding) for finding in found]),
    }
    same.update(storage_test=result)


def _send(cluster: Cluster, now: datetime) -> None:
    asked_at = now.isoformat()
    job: Any = current_app.signature(JOB)
    try:
        job.apply_async(args=[cluster.pk, asked_at], queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("storage test not sent", extra={"cluster": cluster.pk})
        why = "The portal could not start the test: its message broker does not answer."
        _store(cluster, asked_at, (_not_done(why, "Try again later."),))


def _not_done(why: str, remedy: str) -> Finding:
    return Finding(title="Storage test", is_ok=False, detail=why, remedy=remedy)


def _asked_at(test: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(test["asked_at"])
