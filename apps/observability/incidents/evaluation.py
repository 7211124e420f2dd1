"""Evaluate all Deployments: read rows, ask the detectors, write what opened and closed.

By batches of Deployments, each a transaction under one advisory lock: a second worker that comes at
the same time leaves, and whatever it would have done is done. A batch costs the same number of
statements however many Deployments and incidents it has.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from apps.clusters.queries import EXPIRING
from apps.deployments.models import Deployment, Phase
from apps.observability.history.queries import latest
from apps.observability.incidents import hysteresis
from apps.observability.incidents.detectors.findings import findings
from apps.observability.incidents.detectors.seen import MEASURED, Name, seen
from apps.observability.incidents.hysteresis import Changes, by_deployment
from apps.observability.incidents.models import Incident, IncidentEvent

logger = logging.getLogger(__name__)

BATCH = 1000
MOST_FORGOTTEN = 10_000
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('portal.incidents'))"
_READ = (
    "ref",
    "phase",
    "health",
    "health_message",
    "health_since",
    "is_hibernating",
    "observed_at",
    "observation",
    "failures",
    "last_error",
    "quarantined_at",
    "cluster__name",
    "cluster__kind",
    "cluster__unreachable_since",
    "cluster__last_error",
    *(f"cluster__{column}" for column in EXPIRING),
    "wanted__number",
    "wanted__state",
    "wanted__summary",
    "wanted__failure",
    "wanted__config",
    "applied__number",
)
_NO_WAIT = "SET LOCAL lock_timeout = '1s'"
# What an evaluation writes, and a person does not.
_WRITTEN = (
    "severity",
    "title",
    "summary",
    "evidence",
    "noticed_at",
    "opened_at",
    "last_seen_at",
    "checked_at",
    "evaluations",
    "clear_since",
    "closed_at",
)
_COUNT = """
    UPDATE deployments_deployment deployment
    SET open_incidents = tally.count, incident_severity = tally.severity
    FROM (
        SELECT one.id, count(incident.id) AS count, coalesce(max(incident.severity), 0) AS severity
        FROM unnest(%s::bigint[]) AS one (id)
        LEFT JOIN observability_incident incident ON incident.deployment_id = one.id
            AND incident.closed_at IS NULL AND incident.opened_at IS NOT NULL
            AND (incident.silenced_at IS NULL OR incident.silenced_until <= %s)
        GROUP BY one.id
    ) tally
    WHERE deployment.id = tally.id AND (deployment.open_incidents, deployment.incident_severity)
        IS DISTINCT FROM (tally.count, tally.severity)
"""


def evaluate_all(*, now: datetime) -> int:
    """Evaluate every Deployment once; return how many were. `now` is the time of the evaluation."""
    last, evaluated = 0, 0
    while batch := _evaluate_after(last, now):
        last = batch[-1]
        evaluated += len(batch)
        if len(batch) < BATCH:
            break
    return evaluated


@transaction.atomic
def evaluate_some(*, deployment_ids: Iterable[int], now: datetime) -> bool:
    """Evaluate these Deployments, a batch at most; False when another worker is at it. A row that
    another one holds is not waited for.
    """
    if not _is_ours():
        return False
    with connection.cursor() as cursor:
        cursor.execute(_NO_WAIT)
    _evaluate_rows(_living().filter(pk__in=deployment_ids), now)
    return True


def count_open(*, deployment_ids: list[int], now: datetime) -> None:
    """Write on Deployments how many incidents are open and not silenced, and the worst severity."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [deployment_ids, now])


def forget_closed(*, now: datetime) -> int:
    """Delete incidents that closed longer ago than the setting keeps them; return how many."""
    before = now - timedelta(days=settings.INCIDENT_DAYS)
    old = Incident.objects.filter(closed_at__lt=before).order_by("closed_at")
    ids = list(old.values_list("pk", flat=True)[:MOST_FORGOTTEN])
    Incident.objects.filter(pk__in=ids).delete()
    return len(ids)


@transaction.atomic
def _evaluate_after(last: int, now: datetime) -> list[int]:
    """Evaluate the batch after an id and return its ids; none when another worker is at it."""
    if not _is_ours():
        return []
    return _evaluate_rows(_living().filter(pk__gt=last).order_by("pk")[:BATCH], now)


def _is_ours() -> bool:
    """Take the lock until the end of the transaction, unless another worker holds it."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK)
        row = cursor.fetchone()
    return bool(row and row[0])


def _evaluate_rows(rows: Iterable[Deployment], now: datetime) -> list[int]:
    deployments = list(rows)
    ids = [one.pk for one in deployments]
    measured = latest(deployment_ids=ids, metrics=MEASURED, now=now)
    known = by_deployment(Incident.objects.unclosed().filter(deployment__in=ids))
    changes = Changes()
    for deployment in deployments:
        look = measured.get(deployment.pk, {})
        _evaluate(deployment, known.get(deployment.pk, []), look, now, changes)
    _write(changes)
    count_open(deployment_ids=ids, now=now)
    return ids


def _evaluate(
    deployment: Deployment,
    rows: list[Incident],
    measured: Mapping[Name, float],
    now: datetime,
    changes: Changes,
) -> None:
    if deployment.phase != Phase.ACTIVE:
        reason = hysteresis.CLOSED_WITH_DEPLOYMENT
        hysteresis.close_all(rows=rows, reason=reason, now=now, changes=changes)
        return
    try:
        look = seen(deployment, now=now, measured=measured)
        found = findings(look)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # A row that another version wrote must not stop the others; its incidents stay.
        logger.exception("not evaluated", extra={"deployment": deployment.ref})
        return
    hysteresis.evaluate(
        deployment_id=deployment.pk,
        rows=rows,
        found=found,
        is_blind=look.is_blind,
        unknown=look.unknown_kinds,
        now=now,
        changes=changes,
    )


def _write(changes: Changes) -> None:
    if changes.created:
        Incident.objects.bulk_create(changes.created)
    if changes.updated:
        # One statement, where bulk_update would write a CASE for each row and column.
        Incident.objects.bulk_create(
            changes.updated, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN
        )
    if changes.forgotten:
        Incident.objects.filter(pk__in=[row.pk for row in changes.forgotten if row.pk]).delete()
    if changes.events:
        for event in changes.events:
            event.incident_id = event.incident.pk
        IncidentEvent.objects.bulk_create(changes.events)


def _living() -> QuerySet[Any]:
    """List Deployments that are there, and those that are not but have unclosed incidents."""
    unclosed = Incident.objects.unclosed().values("deployment")
    rows: QuerySet[Any] = Deployment.objects.filter(~Q(phase=Phase.DELETED) | Q(pk__in=unclosed))
    return rows.select_related("cluster", "wanted", "applied").only(*_READ)
