"""The circuit breaker of a Kubernetes cluster: an unreachable cluster costs the others nothing.

    answers ──a pass, survey or watch cannot reach it──▶ blind ──a probe fails──▶ unreachable
       ◀──────────────────────── a probe succeeds ─────────┴────────────────────────┘

As long as it is blind or unreachable (`blind_until`) no pass of its Deployments begins, and one job
probes all such clusters side by side, each later and later. Pages speak of the second failure
(`unreachable_since`), for one may be chance. What became due in the meantime runs when it answers
again: each Deployment once, towards its newest revision.
"""

import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, F, When
from django.db.models.functions import Now
from django.utils import timezone

from apps.clusters.connections.planes import plane_for
from apps.clusters.models import Cluster
from apps.dataplane.base import DataPlane, SupportsBulkObserve
from apps.dataplane.errors import DataPlaneError
from apps.deployments.models import ClusterLease

logger = logging.getLogger(__name__)

FAILURES_TO_SAY = 2
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 40.0
# Clusters that are due soon are included, so that few jobs wait for dead ones.
TOGETHER = timedelta(seconds=15)
# A probe that dies with its worker is repeated after this time.
PROBE = timedelta(seconds=30)
MOST_PROBES, PROBES_AT_ONCE = 64, 32
SEEN_EVERY = timedelta(seconds=30)


def failed(*, cluster: Cluster, error: DataPlaneError) -> None:
    """Count a failure of a Kubernetes cluster, and set when it is probed again."""
    wait = wait_seconds(cluster.failures) * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load
    Cluster.objects.filter(pk=cluster.pk).update(
        failures=F("failures") + 1,
        last_error=error.message[:500],
        blind_until=Now() + timedelta(seconds=wait),
        unreachable_since=Case(
            When(unreachable_since__isnull=False, then=F("unreachable_since")),
            When(failures__gte=FAILURES_TO_SAY - 1, then=Now()),
        ),
    )
    logger.warning("cluster does not answer", extra={"cluster": cluster.pk})


def answered(*, cluster: Cluster, now: datetime) -> None:
    """Record that a cluster answered. Writes only where that changes something."""
    rows = Cluster.objects.filter(pk=cluster.pk)
    if cluster.failures or cluster.blind_until:
        rows.update(
            failures=0, last_error="", blind_until=None, unreachable_since=None, seen_at=Now()
        )
        # What was shown in the meantime is old: observe everything at once.
        surveys = ClusterLease.objects.filter(cluster=cluster, purpose=ClusterLease.Purpose.SURVEY)
        surveys.filter(token=None).update(until=None)
        logger.info("cluster answers again", extra={"cluster": cluster.pk})
    elif cluster.seen_at is None or cluster.seen_at < now - SEEN_EVERY:
        rows.update(seen_at=Now())


@transaction.atomic
def due_probes() -> list[tuple[int, int]]:
    """Return id and shard of the clusters to probe now, and reserve them for a while."""
    blind = Cluster.objects.filter(blind_until__isnull=False)
    if not blind.filter(blind_until__lte=Now()).exists():
        return []
    due = blind.filter(blind_until__lte=Now() + TOGETHER).order_by("blind_until")
    rows = due.select_for_update(skip_locked=True).values_list("pk", "shard")
    chosen = list(rows[:MOST_PROBES])
    Cluster.objects.filter(pk__in=[pk for pk, _ in chosen]).update(blind_until=Now() + PROBE)
    return chosen


def probe(*, cluster_ids: Sequence[int]) -> None:
    """Probe clusters in parallel for an answer."""
    found = Cluster.objects.filter(pk__in=cluster_ids, blind_until__isnull=False)
    planes = [(cluster, plane_for(cluster)) for cluster in found]
    if not planes:
        return
    with ThreadPoolExecutor(max_workers=PROBES_AT_ONCE) as pool:
        errors = list(pool.map(_error_of, [plane for _, plane in planes]))
    for (cluster, _), error in zip(planes, errors, strict=True):
        if error is None:
            answered(cluster=cluster, now=timezone.now())
        else:
            failed(cluster=cluster, error=error)


def wait_seconds(failures: int) -> float:
    """Return the seconds until the next probe of a cluster with this many failures."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(failures, 10), LONGEST_WAIT_SECONDS)


def _error_of(plane: DataPlane) -> DataPlaneError | None:
    """Probe a plane; runs in a thread, so it touches no database."""
    if not isinstance(plane, SupportsBulkObserve):
        return None
    try:
        plane.reach()
    except DataPlaneError as error:
        return error
    return None
