"""Keeping of results. Everything may be repeated: an end has one row, whoever writes it first."""

import hashlib
import json
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from apps.deployments.models import Phase
from apps.observability.results.models import RunResult
from apps.observability.results.reading import Result, Results

MOST_FORGOTTEN = 50_000
_LISTED = """
    UPDATE observability_collection
    SET list_from = %s, listed_until = greatest(listed_until, %s), running = %s
    WHERE deployment_id = %s
"""


def write_results(*, deployment_id: int, results: Results) -> None:
    """Keep what ended in a Deployment, and up to when that is known. Two statements."""
    if results.ended:
        rows = [_row(deployment_id, one) for one in results.ended]
        RunResult.objects.bulk_create(rows, ignore_conflicts=True)
    running = json.dumps(results.running)
    with connection.cursor() as cursor:
        cursor.execute(_LISTED, [results.next_from, results.listed_until, running, deployment_id])


def forget_results(*, now: datetime) -> int:
    """Delete results that are older than the setting keeps them, and those of Deployments that were
    deleted; return how many, at most `MOST_FORGOTTEN` of each.
    """
    before = now - timedelta(days=settings.RESULT_DAYS)
    count = 0
    for old in (
        RunResult.objects.filter(ended_at__lt=before).order_by("ended_at"),
        RunResult.objects.filter(deployment__phase=Phase.DELETED),
    ):
        ids = list(old.values_list("pk", flat=True)[:MOST_FORGOTTEN])
        count += RunResult.objects.filter(pk__in=ids).delete()[0]
    return count


def _row(deployment_id: int, one: Result) -> RunResult:
    return RunResult(
        deployment_id=deployment_id,
        dag_id=one.dag_id,
        run_id=one.run_id,
        task_id=one.task_id,
        map_index=one.map_index,
        is_failed=one.is_failed,
        started_at=one.started_at,
        ended_at=one.ended_at,
        digest=_digest(one),
    )


def _digest(one: Result) -> int:
    """Name an end by 63 bits: the same run ends again when it was cleared, at another time."""
    parts = (one.dag_id, one.run_id, one.task_id, str(one.map_index), one.ended_at.isoformat())
    found = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(found[:8]) >> 1
