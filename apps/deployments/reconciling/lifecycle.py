"""Three small machines, and the lease that lets one worker at a time drive a Deployment.

Phase, what people want (services move it, the reconciler ends it):

    active ──▶ deleting ──▶ deleted

Revision state, how far a rollout came:

    pending ──▶ applying ──▶ applied
       │           ├───────▶ failed
       └───────────┴───────▶ superseded   (a newer revision came first)

    failed ──▶ pending                    (a person tries again)
    applied ──▶ pending                   (the same, of what was put aside)

Health, what the data plane said last; any state may follow any, for it is observed, not decided:

    unknown · starting · healthy · unhealthy · stopped

Only `move` changes a phase or a revision state: an UPDATE conditional on an allowed previous state,
so that of two concurrent callers one learns that it came second.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, models
from django.db.models import Case, F, When
from django.db.models.functions import Now

from apps.deployments.models import Deployment, OperationState, Phase, RevisionState
from apps.deployments.reconciling import cluster_leases

TRANSITIONS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "phase": {
        Phase.DELETING: frozenset({Phase.ACTIVE}),
        Phase.DELETED: frozenset({Phase.DELETING}),
    },
    "revision": {
        RevisionState.PENDING: frozenset({RevisionState.FAILED, RevisionState.APPLIED}),
        RevisionState.APPLYING: frozenset({RevisionState.PENDING}),
        RevisionState.APPLIED: frozenset({RevisionState.PENDING, RevisionState.APPLYING}),
        RevisionState.FAILED: frozenset({RevisionState.PENDING, RevisionState.APPLYING}),
        RevisionState.SUPERSEDED: frozenset({RevisionState.PENDING, RevisionState.APPLYING}),
    },
    "operation": {
        OperationState.SUCCEEDED: frozenset({OperationState.RUNNING}),
        OperationState.FAILED: frozenset({OperationState.RUNNING}),
        OperationState.SUPERSEDED: frozenset({OperationState.RUNNING}),
    },
}
_FIELDS = {"phase": "phase", "revision": "state", "operation": "state"}

# A job is killed before its lease ends, so that no job continues without one.
LEASE_SECONDS = 60
MOST_UNFINISHED_PASSES = 3
# A hint that the broker loses is given again after this time.
HINT_SECONDS = 10
# Passes of one Kubernetes cluster at a time.
SLOTS = 2
# Every job begins with it, and most hints come too late and end with it: as text, because writing
# it took the ORM five times as long as PostgreSQL to run it.
_IS_FREE = """
    SELECT cluster.id, cluster.kind <> 'local', cluster.kind <> 'local' AND NOT EXISTS (
        SELECT FROM deployments_clusterlease lease
        WHERE lease.cluster_id = cluster.id AND lease.purpose LIKE 'slot-%%')
    FROM deployments_deployment deployment
    JOIN clusters_cluster cluster ON cluster.id = deployment.cluster_id
    WHERE deployment.id = %(id)s AND quarantined_at IS NULL AND phase <> 'deleted'
        AND (lease_until IS NULL OR lease_until < STATEMENT_TIMESTAMP())
        AND cluster.blind_until IS NULL
"""
_TAKE = """
    UPDATE deployments_deployment
    SET lease_token = %(token)s,
        lease_until = STATEMENT_TIMESTAMP() + %(span)s,
        next_reconcile_at = STATEMENT_TIMESTAMP() + %(span)s,
        unfinished_passes = unfinished_passes + 1
    WHERE id = %(id)s AND quarantined_at IS NULL AND phase <> 'deleted'
        AND (lease_until IS NULL OR lease_until < STATEMENT_TIMESTAMP())
"""
# A Kubernetes cluster must have a free slot, which is taken in the same statement.
_CLAIM_WITH_SLOT = f"""
    WITH slot AS (
        SELECT lease.id FROM deployments_clusterlease lease
        WHERE lease.cluster_id = (SELECT cluster_id FROM deployments_deployment WHERE id = %(id)s)
            AND lease.purpose LIKE 'slot-%%'
            AND (lease.until IS NULL OR lease.until < STATEMENT_TIMESTAMP())
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ), mine AS ({_TAKE} AND EXISTS (SELECT FROM slot) RETURNING id), taken AS (
        UPDATE deployments_clusterlease lease
        SET token = %(token)s, until = STATEMENT_TIMESTAMP() + %(span)s
        FROM slot WHERE lease.id = slot.id AND EXISTS (SELECT FROM mine)
    )
    SELECT id FROM mine
"""  # noqa: S608 - of constants
# Urgent ones come first, then the longest due; no more of a cluster than it has free slots, because
# the end of each pass brings the next.
_DUE = """
    WITH free AS (
        SELECT cluster_id, count(*) FILTER (WHERE until IS NULL OR until < STATEMENT_TIMESTAMP())
        FROM deployments_clusterlease WHERE purpose LIKE 'slot-%%' GROUP BY cluster_id
    ), ranked AS (
        SELECT deployment.id, cluster.kind, cluster.shard, COALESCE(free.count, %(slots)s) AS free,
            row_number() OVER (
                PARTITION BY cluster.id ORDER BY is_urgent DESC, next_reconcile_at
            ) AS place
        FROM deployments_deployment deployment
        JOIN clusters_cluster cluster ON cluster.id = deployment.cluster_id
        LEFT JOIN free ON free.cluster_id = cluster.id
        WHERE next_reconcile_at <= STATEMENT_TIMESTAMP() AND quarantined_at IS NULL
            AND (lease_until IS NULL OR lease_until < STATEMENT_TIMESTAMP())
            AND cluster.blind_until IS NULL
            AND (%(cluster)s::bigint IS NULL OR cluster.id = %(cluster)s)
    ), chosen AS (
        SELECT deployment.id, ranked.shard
        FROM deployments_deployment deployment JOIN ranked USING (id)
        WHERE (ranked.kind = 'local' OR ranked.place <= ranked.free)
            AND next_reconcile_at <= STATEMENT_TIMESTAMP()
        ORDER BY is_urgent DESC, next_reconcile_at
        LIMIT %(limit)s FOR UPDATE OF deployment SKIP LOCKED
    )
    UPDATE deployments_deployment deployment
    SET next_reconcile_at = STATEMENT_TIMESTAMP() + %(later)s
    FROM chosen WHERE deployment.id = chosen.id
    RETURNING deployment.id, chosen.shard, deployment.is_urgent
"""


def move(rows: models.QuerySet[Any], machine: str, to: str, **fields: Any) -> bool:
    """Move the rows that are in a state before `to`, and set `fields` with it.

    Returns whether any moved.
    """
    field = _FIELDS[machine]
    allowed = TRANSITIONS[machine][to]
    return rows.filter(**{f"{field}__in": allowed}).update(**{field: to, **fields}) > 0


@dataclass(frozen=True)
class Lease:
    """The right to drive one Deployment until its expiry by the database's clock."""

    deployment_id: int
    token: uuid.UUID
    cluster_id: int
    has_slot: bool


@dataclass(frozen=True)
class Due:
    """A Deployment to drive now. `shard` is its cluster's."""

    deployment_id: int
    shard: int
    is_urgent: bool


class LeaseLost(Exception):
    """The lease ended, and another worker may hold it now: write nothing more."""


def claim(*, deployment_id: int, seconds: float = LEASE_SECONDS) -> Lease | None:
    """Take the lease of a Deployment, or return None: it is held, quarantined or deleted, or its
    cluster does not answer or has no free slot.

    The claim counts as an unfinished pass until `release`, and the row becomes due again when the
    lease ends, so that a killed worker needs no detection.
    """
    token = uuid.uuid4()
    values: dict[str, Any] = {
        "id": deployment_id,
        "token": token,
        "span": timedelta(seconds=seconds),
    }
    with connection.cursor() as cursor:
        cursor.execute(_IS_FREE, values)
        free = cursor.fetchone()
        if free is None:
            return None
        cluster_id, has_slot, lacks_slots = free
        if lacks_slots:
            cluster_leases.make_slots(cluster_id=cluster_id)
        cursor.execute(_CLAIM_WITH_SLOT if has_slot else _TAKE, values)
        is_mine = cursor.rowcount > 0
    return Lease(deployment_id, token, cluster_id, has_slot) if is_mine else None


def leased(lease: Lease) -> models.QuerySet[Deployment]:
    """Return the row of a lease, as long as it is held."""
    return Deployment.objects.filter(
        pk=lease.deployment_id, lease_token=lease.token, lease_until__gt=Now()
    )


def lock(lease: Lease) -> Deployment:
    """Lock the row for the writes of this transaction; raises LeaseLost.

    No joins: rows joined before waiting for the lock would be stale.
    """
    row = leased(lease).select_for_update().first()
    if row is None:
        raise LeaseLost
    return row


def release(*, lease: Lease, after_seconds: float | None, **fields: Any) -> bool:
    """End the lease, record what the pass learned, and set when the next one is due (None: never).

    If the row was made due in the meantime, it stays due. Returns False when the lease was already
    lost; then nothing is written.
    """
    next_at = None if after_seconds is None else Now() + timedelta(seconds=after_seconds)
    released = leased(lease).update(
        next_reconcile_at=Case(
            When(next_reconcile_at=F("lease_until"), then=next_at),
            default=F("next_reconcile_at"),
            output_field=models.DateTimeField(),
        ),
        lease_token=None,
        lease_until=None,
        **fields,
    )
    return released > 0


def is_poison(deployment: Deployment) -> bool:
    """Return whether too many previous passes began and never ended."""
    return deployment.unfinished_passes > MOST_UNFINISHED_PASSES


def due(*, limit: int, cluster_id: int | None = None) -> list[Due]:
    """Return Deployments to drive now, of one cluster or of all, and make each due again in a
    while.

    Two sweepers share the rows between them; neither waits for the other.
    """
    values: dict[str, Any] = {
        "cluster": cluster_id,
        "limit": limit,
        "slots": SLOTS,
        "later": timedelta(seconds=HINT_SECONDS),
    }
    with connection.cursor() as cursor:
        cursor.execute(_DUE, values)
        return [Due(*row) for row in cursor.fetchall()]
