"""What the rows say of a component at this moment. Pure; `evaluation` decides what lasts."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Health, Phase
from apps.status_pages.setup.states import State

# Kinds of incidents that people who wait for data notice; the others are the team's own business.
DOWN = frozenset({"missing", "unhealthy", "heartbeat-late"})
DEGRADED = frozenset(
    {
        "crash-loop",
        "image-pull",
        "not-ready",
        "out-of-memory",
        "parsing-late",
        "queue-at-capacity",
        "queue-not-scaling",
        "tasks-cannot-start",
        "tasks-lost",
        "triggerer-full",
        "unschedulable",
    }
)
NOT_SEEN = frozenset({"unreachable"})
AWAY = timedelta(minutes=2)
# Incidents notice a silent cluster long before. This is for a portal whose workers are all gone.
OLD = timedelta(minutes=30)


def of_deployment(deployment: Deployment, kinds: Collection[str], *, now: datetime) -> State | None:
    """Return the state of a Deployment with open incidents of some kinds; None if it is gone. One
    that hibernates does what its people want.

    What was not observed for half an hour is not known, whatever the row says.
    """
    if deployment.phase != Phase.ACTIVE:
        return None
    if deployment.is_hibernating:
        return State.OPERATIONAL
    found, seen_at = frozenset(kinds), deployment.observed_at
    is_old = seen_at is None or now - seen_at > OLD
    if is_old or found & NOT_SEEN or deployment.health == Health.UNKNOWN:
        return State.UNKNOWN
    if found & DOWN:
        return State.MAJOR
    return State.DEGRADED if found & DEGRADED else State.OPERATIONAL


def of_cluster(cluster: Cluster | None, now: datetime) -> State:
    """Return the state of a cluster: down when the portal has not reached it for two minutes."""
    if cluster is None or cluster.removed_at is not None:
        return State.UNKNOWN
    since = cluster.unreachable_since
    return State.MAJOR if since is not None and now - since >= AWAY else State.OPERATIONAL


def together(states: Iterable[State | None]) -> State:
    """Return the state of several Deployments as one: down when all are, partly down when some are.
    Those that are gone do not count; without any, nothing is known.
    """
    there = [one for one in states if one is not None]
    if not there:
        return State.UNKNOWN
    if all(one == State.MAJOR for one in there):
        return State.MAJOR
    if State.MAJOR in there:
        return State.PARTIAL
    if State.DEGRADED in there:
        return State.DEGRADED
    return State.UNKNOWN if State.UNKNOWN in there else State.OPERATIONAL
