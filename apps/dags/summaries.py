"""The DAGs of a Deployment as rows, so that lists over many Deployments wait for none of them.

One request to its Airflow (`runtime/plugins/portal_dags.py` answers) and a fixed number of SQL
statements, whatever the number of DAGs; an unchanged answer carries no DAGs and writes one row.
"""

import hashlib
import json
from typing import Any

from django.core.cache import cache
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.errors import PortalError
from apps.dags.airflow.api import ID, UNREADABLE, AirflowApi, AirflowSilent, airflow_of
from apps.dags.models import LONGEST_ID, DagReport, DagState, DagSummary
from apps.dataplane.untrusted import (
    moment_at,
    moment_of,
    number_of,
    seconds_of,
    text_of,
    texts_of,
)
from apps.deployments.models import Deployment, Health, Phase

PATH = "/auth/portal/dags"
MOST_DAGS = 5_000
RUNS = 14
MOST_NAMES = 20
# An Airflow that was applied by an earlier portal does not say whether its DAGs catch up.
COLUMNS, COLUMNS_BEFORE = 12, 11
RUNNING = frozenset({"running", "queued"})
ASK_AGAIN_SECONDS = 10
TOO_SLOW = "The metadata database of this Airflow is too slow to list the last runs at the moment."
WRITTEN = [field.name for field in DagSummary._meta.fields if field.name != "id"]


def deployments_to_ask() -> QuerySet[Deployment]:
    """List the Deployments whose Airflow answers. Others would keep a worker waiting for seconds,
    each minute; whoever opens their page has them asked all the same.
    """
    up = {"phase": Phase.ACTIVE, "health": Health.HEALTHY, "cluster__blind_until": None}
    return Deployment.objects.filter(**up).exclude(applied=None).order_by("pk")


def is_due(deployment: Deployment) -> bool:
    """Return whether a person who looks should get newer rows; False for others for a while."""
    return bool(cache.add(f"dags-asked:{deployment.pk}", 1, ASK_AGAIN_SECONDS))


def refresh_summaries(*, deployment: Deployment) -> None:
    """Ask an Airflow for its DAGs and keep them. What goes wrong is kept as the report's problem,
    beside the rows of the last good look.

    At most `MOST_DAGS` rows are kept; the report counts all. `deployment` needs `applied` and
    `cluster`. Raises nothing that a data plane or an Airflow can cause.
    """
    known = DagReport.objects.filter(deployment=deployment).first()
    now = timezone.now()
    try:
        said = _ask(airflow_of(deployment), known.digest if known else "")
        rows = None if said is None else _rows(said, deployment)
    except PortalError as error:
        _report(deployment, known, problem=error.message)
        return
    if said is None or rows is None:
        _report(deployment, known, seen_at=now, problem="")
        return
    _write(deployment, rows)
    count = number_of(said.get("count")) or 0
    digest = text_of(said.get("digest"), 64)
    _report(deployment, known, seen_at=now, problem="", digest=digest, count=max(count, len(rows)))


def _ask(airflow: AirflowApi, digest: str) -> dict[str, Any] | None:
    """Return the answer, None where it is the one that is kept already. Raises AirflowSilent."""
    said = airflow.report(PATH, **({"known": digest} if digest else {}))
    if digest and said.get("digest") == digest and "dags" not in said:
        return None
    if not isinstance(said.get("dags"), list):
        raise AirflowSilent(UNREADABLE)
    if said.get("has_runs") is False:
        raise AirflowSilent(TOO_SLOW)
    return said


def _rows(said: dict[str, Any], deployment: Deployment) -> list[DagSummary]:
    found: dict[str, DagSummary] = {}
    for row in said["dags"][:MOST_DAGS]:
        summary = _summary(row, deployment) if isinstance(row, list) else None
        if summary is not None:
            found.setdefault(summary.dag_id, summary)
    return list(found.values())


def _summary(row: list[Any], deployment: Deployment) -> DagSummary | None:
    """Read a DAG of the answer; None for one that is none."""
    if len(row) not in (COLUMNS, COLUMNS_BEFORE):
        return None
    if not isinstance(row[0], str) or not ID.fullmatch(row[0]):
        return None
    runs = _runs(row[10])
    is_paused, has_import_error = row[3] is True, row[4] is True
    catches_up = row[11] if len(row) == COLUMNS and isinstance(row[11], bool) else None
    schedule = text_of(row[5])
    summary = DagSummary(
        deployment=deployment,
        dag_id=row[0],
        name=text_of(row[1], LONGEST_ID) or row[0],
        description=text_of(row[2], 300),
        state=state_of(runs, is_paused=is_paused, has_import_error=has_import_error),
        is_paused=is_paused,
        has_import_error=has_import_error,
        schedule="" if schedule == "None" else schedule,
        schedule_in_words=text_of(row[6]),
        next_run_at=moment_of(row[7]),
        owners=texts_of(row[8], most=MOST_NAMES, longest=100),
        tags=texts_of(row[9], most=MOST_NAMES, longest=100),
        runs=runs,
        last_run_at=moment_at(runs[-1][1]) if runs else None,
        catches_up=catches_up,
    )
    summary.digest = _digest(summary)
    return summary


def _runs(value: object) -> list[list[Any]]:
    """Return runs as (state, second, seconds), the latest last."""
    items = value if isinstance(value, list) else []
    found = []
    for item in items[:RUNS]:
        if isinstance(item, list) and len(item) == 3 and moment_at(item[1]) is not None:
            found.append([text_of(item[0], 20), item[1], seconds_of(item[2])])
    return found[::-1]


def state_of(runs: list[list[Any]], *, is_paused: bool, has_import_error: bool) -> str:
    """Return what lists say of a DAG first. Pure."""
    if has_import_error:
        return DagState.IMPORT_ERROR
    if is_paused:
        return DagState.PAUSED
    if not runs:
        return DagState.NO_RUNS
    last = runs[-1][0]
    if last in RUNNING:
        return DagState.RUNNING
    return DagState.FAILED if last == "failed" else DagState.SUCCEEDED


def _digest(summary: DagSummary) -> str:
    facts = [
        str(getattr(summary, name)) for name in WRITTEN if name not in ("deployment", "digest")
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _write(deployment: Deployment, rows: list[DagSummary]) -> None:
    kept = dict(DagSummary.objects.filter(deployment=deployment).values_list("dag_id", "digest"))
    changed = [row for row in rows if kept.get(row.dag_id) != row.digest]
    gone = kept.keys() - {row.dag_id for row in rows}
    if changed:
        DagSummary.objects.bulk_create(
            changed,
            update_conflicts=True,
            unique_fields=["deployment", "dag_id"],
            update_fields=[name for name in WRITTEN if name not in ("deployment", "dag_id")],
        )
    if gone:
        DagSummary.objects.filter(deployment=deployment, dag_id__in=gone).delete()


def _report(deployment: Deployment, known: DagReport | None, **changes: Any) -> None:
    report = known or DagReport(deployment=deployment)
    for name, value in changes.items():
        setattr(report, name, value)
    DagReport.objects.bulk_create(
        [report],
        update_conflicts=True,
        unique_fields=["deployment"],
        update_fields=["seen_at", "problem", "digest", "count"],
    )


def forget_deleted() -> None:
    """Remove what is kept of Deployments that were deleted."""
    for model in (DagSummary, DagReport):
        model.objects.filter(deployment__phase=Phase.DELETED).delete()


def keep_paused(*, deployment: Deployment, dag_id: str, is_paused: bool) -> None:
    """Show a switch in lists at once; the next look at this Airflow writes the rest."""
    rows = DagSummary.objects.filter(deployment=deployment, dag_id=dag_id)
    summary = rows.first()
    if summary is None:
        return
    summary.is_paused = is_paused
    summary.state = state_of(
        summary.runs, is_paused=is_paused, has_import_error=summary.has_import_error
    )
    # No answer has this digest, so the next look writes the row whatever it finds.
    summary.digest = ""
    summary.save(update_fields=["is_paused", "state", "digest"])
    DagReport.objects.filter(deployment=deployment).update(digest="")
