"""Leases on clusters: what only one process at a time may do with each, and when next."""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from apps.deployments.models import ClusterLease

SLOTS = (ClusterLease.Purpose.SLOT_1, ClusterLease.Purpose.SLOT_2)
_HOLD = """
    INSERT INTO deployments_clusterlease (cluster_id, purpose, token, until)
    VALUES (%(cluster)s, %(purpose)s, %(token)s, STATEMENT_TIMESTAMP() + %(span)s)
    ON CONFLICT (cluster_id, purpose) DO UPDATE SET token = EXCLUDED.token, until = EXCLUDED.until
    WHERE deployments_clusterlease.until IS NULL
        OR deployments_clusterlease.until < STATEMENT_TIMESTAMP()
"""


def hold(*, cluster_id: int, purpose: str, seconds: float) -> uuid.UUID | None:
    """Take a lease and return its token, or None: it is held, or it is not due yet."""
    token = uuid.uuid4()
    span = timedelta(seconds=seconds)
    values: dict[str, Any] = {
        "cluster": cluster_id,
        "purpose": purpose,
        "token": token,
        "span": span,
    }
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, values)
        is_mine = cursor.rowcount > 0
    return token if is_mine else None


def renew(*, tokens: Iterable[uuid.UUID], seconds: float) -> set[uuid.UUID]:
    """Hold leases for longer; return the tokens of those that are still held."""
    rows = ClusterLease.objects.filter(token__in=list(tokens), until__gt=Now())
    rows.update(until=Now() + timedelta(seconds=seconds))
    return {token for token in rows.values_list("token", flat=True) if token is not None}


def release(*, token: uuid.UUID, after_seconds: float = 0) -> None:
    """Release a lease; it cannot be taken before `after_seconds` have passed."""
    rows = ClusterLease.objects.filter(token=token)
    rows.update(token=None, until=Now() + timedelta(seconds=after_seconds))


def make_slots(*, cluster_id: int) -> None:
    """Create the slots of a Kubernetes cluster, unless they exist."""
    slots = [ClusterLease(cluster_id=cluster_id, purpose=purpose) for purpose in SLOTS]
    ClusterLease.objects.bulk_create(slots, ignore_conflicts=True)
