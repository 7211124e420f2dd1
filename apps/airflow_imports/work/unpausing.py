"""The job that unpauses what ran before, with the rights of whoever asked."""

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from apps.airflow_imports.models import AirflowImport
from apps.core.errors import PortalError, Refused
from apps.dags.services import pause_dag

LEASE = timedelta(minutes=20)
RUN = "deployment.airflow.run"
NOT_ALLOWED = "Whoever asked may not run DAGs there any more."


def asked(*, limit: int = 20) -> list[str]:
    """Return the ids of imports whose DAGs are to be unpaused."""
    rows = AirflowImport.objects.filter(unpause__asked__isnull=False, unpause__done__isnull=True)
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:limit]]


def unpause_dags(*, import_id: str, now: datetime) -> None:
    """Unpause the DAGs of one import that ran before, unless another worker does. One that Airflow
    does not have is noted and keeps no other from it.
    """
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = AirflowImport.objects.filter(free, pk=import_id, unpause__asked__isnull=False)
    if not rows.filter(unpause__done__isnull=True).update(lease_until=now + LEASE):
        return
    row = AirflowImport.objects.get(pk=import_id)
    failed = _unpause(row)
    done = {
        **row.unpause,
        "done": timezone.now().isoformat(),
        "count": len(row.ran_before) - len(failed),
        "failed": failed,
    }
    rows = AirflowImport.objects.filter(pk=import_id)
    # A wish that was withdrawn meanwhile stays withdrawn.
    rows.filter(unpause__asked__isnull=False).update(unpause=done)
    rows.update(lease_until=None)


def _unpause(row: AirflowImport) -> dict[str, str]:
    failed = {}
    for dag_id in row.ran_before:
        try:
            _unpause_one(row, dag_id)
        except PortalError as error:
            failed[dag_id] = error.message[:200]
    return failed


def _unpause_one(row: AirflowImport, dag_id: str) -> None:
    """Unpause a DAG with the rights of now: there may be a thousand, in many minutes."""
    wishes = AirflowImport.objects.select_related("deployment", "unpaused_by")
    wish = wishes.filter(pk=row.pk, unpause__asked__isnull=False).first()
    deployment = wish.deployment if wish else None
    actor = wish.unpaused_by if wish else None
    if deployment is None or actor is None or not actor.has_perm(RUN, deployment):
        raise Refused(NOT_ALLOWED)
    pause_dag(actor=actor, deployment=deployment, dag_id=dag_id, is_paused=False)
