"""What is done with a Kubernetes cluster again and again: surveys, and marks on busy workers.

The sweeper takes the lease of a chore and sends its token along. A job that starts holds the lease
for as long as it may run; when it ends, the lease says when the chore is due again. So each is done
by one worker at a time, and a lost message costs `START_SECONDS`.
"""

import logging
import random
import uuid
from dataclasses import dataclass

from django.db.models import BooleanField, Exists, Func, OuterRef, Value
from django.db.models.functions import Now

from apps.clusters.connections import plane_for
from apps.clusters.models import Cluster
from apps.dataplane.base import Surveyed
from apps.dataplane.errors import DataPlaneError, Unreachable
from apps.deployments import breaker, cluster_leases, surveys
from apps.deployments.compiler import compile_spec
from apps.deployments.models import ClusterLease, Deployment, Phase

logger = logging.getLogger(__name__)

Purpose = ClusterLease.Purpose
PURPOSES = (Purpose.SURVEY, Purpose.MARKS)
START_SECONDS, LONGEST_SECONDS = 20.0, 240.0
# Where watches see everything at once, a survey only proves them.
SURVEY_SECONDS, WATCHED_SURVEY_SECONDS, MARK_SECONDS = 60.0, 300.0, 15.0
# Of the Deployments whose idle workers could be told from the busy ones.
_HAS_SEVERAL_WORKERS = Func(
    "observation",
    Value("$.queues[*] ? (@.workers_ready > 1)"),
    function="jsonb_path_exists",
    template="%(function)s(%(expressions)s::jsonpath)",
    output_field=BooleanField(),
)


@dataclass(frozen=True)
class Chore:
    """A chore that is due. `shard` is its cluster's, `token` that of its lease."""

    cluster_id: int
    shard: int
    token: uuid.UUID


def take_due(purpose: str) -> list[Chore]:
    """Take the leases of a chore on all clusters where it is due."""
    clusters = Cluster.objects.exclude(kind=Cluster.Kind.LOCAL).filter(unreachable_since=None)
    leases = ClusterLease.objects.filter(cluster=OuterRef("pk"), purpose=purpose, until__gt=Now())
    concerned = Deployment.objects.filter(cluster=OuterRef("pk")).exclude(phase=Phase.DELETED)
    if purpose == Purpose.MARKS:
        concerned = concerned.filter(_HAS_SEVERAL_WORKERS)
    due = clusters.filter(~Exists(leases), Exists(concerned))
    taken = []
    for cluster_id, shard in due.values_list("pk", "shard"):
        token = cluster_leases.hold(cluster_id=cluster_id, purpose=purpose, seconds=START_SECONDS)
        if token is not None:
            taken.append(Chore(cluster_id, shard, token))
    return taken


def run(*, purpose: str, cluster_id: int, token: uuid.UUID) -> None:
    """Do a chore, unless its lease was lost meanwhile."""
    if not cluster_leases.renew(tokens=[token], seconds=LONGEST_SECONDS):
        return
    try:
        if purpose == Purpose.SURVEY:
            surveys.survey(cluster_id=cluster_id)
        else:
            _mark_busy_workers(cluster_id)
    finally:
        after = _seconds_until_next(purpose, cluster_id)
        cluster_leases.let_go(token=token, after_seconds=after)


def _mark_busy_workers(cluster_id: int) -> None:
    cluster = Cluster.objects.filter(pk=cluster_id, unreachable_since=None).first()
    plane = plane_for(cluster) if cluster else None
    if cluster is None or not isinstance(plane, Surveyed):
        return
    several = Deployment.objects.filter(_HAS_SEVERAL_WORKERS, cluster=cluster, phase=Phase.ACTIVE)
    # At random, so that a job that is cut short leaves out others each time.
    for row in several.select_related("applied").exclude(applied=None).order_by("?"):
        try:
            _mark(plane, row)
        except Unreachable as error:
            breaker.failed(cluster=cluster, error=error)
            return
        except DataPlaneError as error:
            logger.info("workers not marked", extra={"deployment": row.ref, "why": error.sentence})


def _mark(plane: Surveyed, deployment: Deployment) -> None:
    if deployment.applied is not None:
        spec = compile_spec(deployment=deployment, revision=deployment.applied)
        plane.mark_busy_workers(spec=spec)


def _seconds_until_next(purpose: str, cluster_id: int) -> float:
    if purpose == Purpose.MARKS:
        return MARK_SECONDS
    watches = ClusterLease.objects.filter(cluster=cluster_id, purpose=Purpose.WATCH)
    is_watched = watches.filter(token__isnull=False, until__gt=Now()).exists()
    seconds = WATCHED_SURVEY_SECONDS if is_watched else SURVEY_SECONDS
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
