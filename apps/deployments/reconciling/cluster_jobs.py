"""Recurring jobs of a Kubernetes cluster: surveys, and marks on busy workers.

The sweeper takes the lease of a cluster job and sends its token along. The job holds the lease as
long as it runs; when it ends, the lease holds when the job is due again. So each runs in one worker
at a time, a lost message costs `START_SECONDS`, and a killed worker `HELD_SECONDS`.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import BooleanField, Exists, Func, OuterRef, Value
from django.db.models.functions import Now

from apps.clusters.connections.planes import plane_for
from apps.clusters.models import Cluster
from apps.dataplane.base import SupportsBulkObserve
from apps.dataplane.errors import DataPlaneError, Unreachable
from apps.deployments.models import ClusterLease, Deployment, Phase
from apps.deployments.reconciling import breaker, cluster_leases, surveys
from apps.deployments.reconciling.compiler import compile_spec

logger = logging.getLogger(__name__)

Purpose = ClusterLease.Purpose
PURPOSES = (Purpose.SURVEY, Purpose.MARKS)
START_SECONDS, HELD_SECONDS, RENEWED_SECONDS = 20.0, 60.0, 10.0
SURVEY_SECONDS, MARK_SECONDS = 60.0, 15.0
# Where watches see every change at once, surveys only verify them and come later by this.
LATER_WHERE_WATCHED = timedelta(seconds=240)
# Marks matter only for queues with a choice of workers to remove.
_HAS_SEVERAL_WORKERS = Func(
    "observation",
    Value("$.queues[*] ? (@.workers_ready > 1)"),
    function="jsonb_path_exists",
    template="%(function)s(%(expressions)s::jsonpath)",
    output_field=BooleanField(),
)


@dataclass(frozen=True)
class ClusterJob:
    """A cluster job that is due. `shard` is its cluster's, `token` that of its lease."""

    cluster_id: int
    shard: int
    token: uuid.UUID


def take_due(purpose: str) -> list[ClusterJob]:
    """Take the leases of a cluster job on all clusters where it is due."""
    clusters = Cluster.objects.exclude(kind=Cluster.Kind.LOCAL).filter(blind_until=None)
    leases = ClusterLease.objects.filter(cluster=OuterRef("pk"), purpose=purpose, until__gt=Now())
    concerned = Deployment.objects.filter(cluster=OuterRef("pk")).exclude(phase=Phase.DELETED)
    if purpose == Purpose.MARKS:
        concerned = concerned.filter(_HAS_SEVERAL_WORKERS)
    due = clusters.filter(~Exists(leases), Exists(concerned))
    if purpose == Purpose.SURVEY:
        due = due.exclude(_is_watched_and_was_surveyed())
    taken = []
    for cluster_id, shard in due.values_list("pk", "shard"):
        token = cluster_leases.hold(cluster_id=cluster_id, purpose=purpose, seconds=START_SECONDS)
        if token is not None:
            taken.append(ClusterJob(cluster_id, shard, token))
    return taken


def _is_watched_and_was_surveyed() -> Exists:
    """Return whether a cluster is watched, and was verified by a survey not long ago."""
    here = ClusterLease.objects.filter(cluster=OuterRef("pk"))
    surveyed = here.filter(purpose=Purpose.SURVEY, until__gt=Now() - LATER_WHERE_WATCHED)
    watched = ClusterLease.objects.filter(
        cluster=OuterRef("cluster"), purpose=Purpose.WATCH, token__isnull=False, until__gt=Now()
    )
    return Exists(surveyed.filter(Exists(watched)))


def run(*, purpose: str, cluster_id: int, token: uuid.UUID) -> None:
    """Run a cluster job, unless its lease was lost in the meantime."""
    if not cluster_leases.renew(tokens=[token], seconds=HELD_SECONDS):
        return
    keep = _keeping(token)
    try:
        if purpose == Purpose.SURVEY:
            surveys.survey(cluster_id=cluster_id, keep=keep)
        else:
            _mark_busy_workers(cluster_id, keep)
    finally:
        seconds = SURVEY_SECONDS if purpose == Purpose.SURVEY else MARK_SECONDS
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
        cluster_leases.release(token=token, after_seconds=seconds * spread)


def _keeping(token: uuid.UUID) -> Callable[[], None]:
    """Return the callback with which a running cluster job renews its lease."""
    renewed_at = time.monotonic()

    def keep() -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at > RENEWED_SECONDS:
            renewed_at = time.monotonic()
            cluster_leases.renew(tokens=[token], seconds=HELD_SECONDS)

    return keep


def _mark_busy_workers(cluster_id: int, keep: Callable[[], None]) -> None:
    cluster = Cluster.objects.filter(pk=cluster_id, blind_until=None).first()
    plane = plane_for(cluster) if cluster else None
    if cluster is None or not isinstance(plane, SupportsBulkObserve):
        return
    several = Deployment.objects.filter(_HAS_SEVERAL_WORKERS, cluster=cluster, phase=Phase.ACTIVE)
    # In random order, so that a job that is cut short skips different Deployments each time.
    for row in several.select_related("applied").exclude(applied=None).order_by("?"):
        keep()
        try:
            _mark(plane, row)
        except Unreachable as error:
            breaker.failed(cluster=cluster, error=error)
            return
        except DataPlaneError as error:
            logger.info("workers not marked", extra={"deployment": row.ref, "why": error.message})


def _mark(plane: SupportsBulkObserve, deployment: Deployment) -> None:
    if deployment.applied is not None:
        spec = compile_spec(deployment=deployment, revision=deployment.applied)
        plane.mark_busy_workers(spec=spec)
