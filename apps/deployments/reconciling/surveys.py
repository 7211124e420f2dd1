"""Observations of all Deployments of a cluster at once, by a survey or by watches.

They record what was seen and wake the reconciler where that differs from what is wanted; they
change nothing on the data plane. A row that is as it was before is written again only now and then,
so that a thousand Deployments at rest cost the database next to nothing.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.clusters.connections.planes import plane_for
from apps.clusters.models import Cluster
from apps.dataplane.base import SupportsBulkObserve
from apps.dataplane.errors import DataPlaneError, Unreachable
from apps.dataplane.status import Observation
from apps.deployments.models import Deployment, Phase, RevisionState
from apps.deployments.reconciling import breaker
from apps.deployments.reconciling.results import observed_json

logger = logging.getLogger(__name__)

BATCH = 200
# An unchanged row is written again after this time, so that a page can show how old it is.
WRITE_EVERY = timedelta(minutes=5)
# Repeated drift is corrected at most this often.
CORRECTED_AT, BETWEEN_CORRECTIONS = "corrected_at", timedelta(minutes=1)
# These change with every observation and need not be on a page at once.
_RESTLESS = ("observed_at", "memory_bytes", "heartbeat_at")
_READ = (
    "ref",
    "phase",
    "health",
    "observed_at",
    "observation",
    "failures",
    "last_error",
    "quarantined_at",
    "wanted__number",
    "wanted__state",
    "wanted__config",
)
_WRITE = """
    UPDATE deployments_deployment deployment
    SET observed_at = look.at, observation = look.seen::jsonb, health = look.health,
        health_message = look.message,
        health_since = CASE WHEN deployment.health = look.health THEN deployment.health_since
            ELSE look.at END
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[])
        AS look (id, at, seen, health, message)
    WHERE deployment.id = look.id
        AND (deployment.observed_at IS NULL OR deployment.observed_at < look.at)
"""

Look = tuple[str, Observation]


@dataclass(frozen=True)
class Recorded:
    """How many rows a series of observations wrote, and how many Deployments it woke."""

    written: int = 0
    woken: int = 0

    def __add__(self, other: "Recorded") -> "Recorded":
        return Recorded(self.written + other.written, self.woken + other.woken)


def survey(*, cluster_id: int, keep: Callable[[], None] = lambda: None) -> Recorded:
    """Observe all Deployments of a Kubernetes cluster and record what changed; `keep` is called
    repeatedly on the way, to renew the caller's lease.
    """
    began_at = timezone.now()
    cluster = Cluster.objects.filter(pk=cluster_id, blind_until=None).first()
    plane = plane_for(cluster) if cluster else None
    if cluster is None or not isinstance(plane, SupportsBulkObserve):
        return Recorded()
    seen: set[str] = set()
    try:
        recorded = record_observations(
            cluster_id=cluster_id, observations=_noting(plane.survey(), seen, keep)
        )
    except Unreachable as error:
        breaker.failed(cluster=cluster, error=error)
        return Recorded()
    except DataPlaneError as error:
        logger.warning("survey failed", extra={"cluster": cluster_id, "reason": error.message})
        return Recorded()
    breaker.answered(cluster=cluster, now=began_at)
    # One that is being created may not be there yet.
    running = _living(cluster_id).filter(applied__isnull=False, observed_at__lt=began_at)
    refs = running.values_list("ref", flat=True)
    gone = [(ref, _nothing(began_at)) for ref in refs if ref not in seen]
    return recorded + record_observations(cluster_id=cluster_id, observations=gone)


def record_observations(*, cluster_id: int, observations: Iterable[Look]) -> Recorded:
    """Record the observations that changed, and wake the Deployments that need a pass.

    Two statements for each batch, one for each that has something to write or to wake.
    """
    recorded, rest = Recorded(), iter(observations)
    while batch := dict(islice(rest, BATCH)):
        recorded += _record(cluster_id, batch)
    return recorded


def _record(cluster_id: int, observations: dict[str, Observation]) -> Recorded:
    rows = _living(cluster_id).filter(ref__in=observations).select_related("wanted").only(*_READ)
    writes: list[tuple[Any, ...]] = []
    wakes: list[int] = []
    for row in rows:
        look = observations[row.ref]
        if row.observed_at is not None and row.observed_at >= look.observed_at:
            continue
        seen = observed_json(row.observation, look)
        is_news = _settled(seen) != _settled(row.observation)
        if is_news or row.observed_at is None or look.observed_at - row.observed_at > WRITE_EVERY:
            text = json.dumps(seen)
            writes.append((row.pk, look.observed_at, text, look.health, look.message[:500]))
        if _needs_pass(row, look, is_news=is_news):
            wakes.append(row.pk)
    return Recorded(_write(writes), wake(deployment_ids=wakes))


def wake(*, deployment_ids: list[int]) -> int:
    """Make Deployments due that are not; the sweeper finds them. Returns how many there were."""
    if not deployment_ids:
        return 0
    waiting = Deployment.objects.filter(pk__in=deployment_ids, next_reconcile_at__gt=Now())
    return waiting.update(next_reconcile_at=Now())


def _needs_pass(row: Deployment, look: Observation, *, is_news: bool) -> bool:
    """Return whether a pass would learn or repair something. A failed row waits for its retry."""
    wanted = row.wanted
    if wanted is None or row.failures or row.last_error or row.quarantined_at:
        return False
    if row.phase == Phase.DELETING or wanted.state != RevisionState.APPLIED:
        return is_news and wanted.state != RevisionState.FAILED
    if not look.exists or look.applied_revision != wanted.number:
        return True
    if look.is_drifted and wanted.config.get("corrects_drift", True):
        corrected_at = row.observation.get(CORRECTED_AT)
        since = datetime.fromisoformat(corrected_at) if corrected_at else None
        return since is None or look.observed_at - since > BETWEEN_CORRECTIONS
    if look.is_drifted:
        return is_news
    return look.health != row.health


def _write(rows: list[tuple[Any, ...]]) -> int:
    if not rows:
        return 0
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, columns)
        return int(cursor.rowcount)


def _living(cluster_id: int) -> QuerySet[Deployment]:
    return Deployment.objects.filter(cluster_id=cluster_id).exclude(phase=Phase.DELETED)


def _noting(
    observations: Iterator[Look], seen: set[str], keep: Callable[[], None]
) -> Iterator[Look]:
    for ref, look in observations:
        keep()
        seen.add(ref)
        yield ref, look


def _settled(seen: Any) -> Any:
    """Return an observation without what changes with every observation."""
    if isinstance(seen, dict):
        return {name: _settled(value) for name, value in seen.items() if name not in _RESTLESS}
    if isinstance(seen, list):
        return [_settled(value) for value in seen]
    return seen


def _nothing(at: datetime) -> Observation:
    return Observation(
        observed_at=at,
        exists=False,
        applied_revision=0,
        health="stopped",
        message="Nothing of this Deployment is on the cluster.",
    )
