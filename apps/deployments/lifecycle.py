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

Only `move` changes a phase or a revision state: an UPDATE that asks for an allowed state before, so
that of two who come at once one learns that he was late.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now

from apps.deployments.models import Deployment, OperationState, Phase, RevisionState

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

# A job is killed before its lease ends, so that nobody works on without one.
LEASE_SECONDS = 60
MOST_UNFINISHED_PASSES = 3
# A hint that the broker loses is given again after this time.
HINT_SECONDS = 10
# Every job begins with it, and most hints come too late and end with it: as text, because writing
# it took the ORM five times as long as PostgreSQL to run it.
_CLAIM = """
    UPDATE deployments_deployment
    SET lease_token = %(token)s,
        lease_until = STATEMENT_TIMESTAMP() + %(span)s,
        next_reconcile_at = STATEMENT_TIMESTAMP() + %(span)s,
        n_unfinished_passes = n_unfinished_passes + 1
    WHERE id = %(id)s AND quarantined_at IS NULL AND phase <> 'deleted'
        AND (lease_until IS NULL OR lease_until < STATEMENT_TIMESTAMP())
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
    """The right to drive one Deployment until the database's clock says otherwise."""

    deployment_id: int
    token: uuid.UUID


class LeaseLost(Exception):
    """The lease ended, and perhaps somebody else drives now: write nothing more."""


def claim(*, deployment_id: int, seconds: float = LEASE_SECONDS) -> Lease | None:
    """Take the lease of a Deployment, or return None: it is held, quarantined or deleted.

    The claim counts as a pass without an end until `release` says otherwise, and the row becomes
    due again when the lease ends, so that a killed worker needs no witness.
    """
    token = uuid.uuid4()
    values: dict[str, Any] = {
        "id": deployment_id,
        "token": token,
        "span": timedelta(seconds=seconds),
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        is_mine = cursor.rowcount > 0
    return Lease(deployment_id, token) if is_mine else None


def leased(lease: Lease) -> models.QuerySet[Deployment]:
    """Return the row of a lease, as long as it is held."""
    return Deployment.objects.filter(
        pk=lease.deployment_id, lease_token=lease.token, lease_until__gt=Now()
    )


def lock(lease: Lease) -> Deployment:
    """Lock the row for the writes of this transaction; raises LeaseLost.

    Nothing is joined: rows joined before a wait for the lock would be those of before.
    """
    row = leased(lease).select_for_update().first()
    if row is None:
        raise LeaseLost
    return row


def release(*, lease: Lease, after_seconds: float | None, **fields: Any) -> bool:
    """End the lease, write what the pass learned, and say when the next pass is due (None: never).

    If somebody made the row due in the meantime, it stays due. Returns False when the lease was
    already lost; then nothing is written.
    """
    next_at = None if after_seconds is None else Now() + timedelta(seconds=after_seconds)
    n_released = leased(lease).update(
        next_reconcile_at=Case(
            When(next_reconcile_at=F("lease_until"), then=next_at),
            default=F("next_reconcile_at"),
            output_field=models.DateTimeField(),
        ),
        lease_token=None,
        lease_until=None,
        **fields,
    )
    return n_released > 0


def is_poison(deployment: Deployment) -> bool:
    """Tell whether the passes before this one began and never ended, too often for chance."""
    return deployment.n_unfinished_passes > MOST_UNFINISHED_PASSES


@transaction.atomic
def due_ids(*, limit: int) -> list[int]:
    """Return Deployments to drive now, the longest due first, and make each due again in a while.

    Two sweepers share the rows between them; neither waits for the other.
    """
    due = (
        Deployment.objects.filter(
            Q(lease_until=None) | Q(lease_until__lt=Now()),
            next_reconcile_at__lte=Now(),
            quarantined_at=None,
        )
        .order_by("next_reconcile_at")
        .select_for_update(skip_locked=True)
    )
    ids = list(due.values_list("pk", flat=True)[:limit])
    if ids:
        later = Now() + timedelta(seconds=HINT_SECONDS)
        Deployment.objects.filter(pk__in=ids).update(next_reconcile_at=later)
    return ids
