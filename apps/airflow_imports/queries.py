"""Reads of the pages of imports."""

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from packaging.version import Version

from apps.airflow_imports.models import UNFINISHED, AirflowImport
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for
from apps.deployments.models import Phase, Revision, RevisionState
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import store_for
from apps.organizations.models import Workspace
from apps.runtimes.catalogue import Runtime, offered_runtimes

NO_CLUSTER = (
    "There is no cluster that this workspace can use. An organization owner can register one, or "
    "give this workspace access to one."
)
NO_BUCKET = (
    "A cluster gets the database from the bucket for backups, and there is none yet. An "
    "organization owner can add one in Settings, Buckets."
)
UNSETTLED = (RevisionState.PENDING, RevisionState.APPLYING, RevisionState.FAILED)


def imports_of(workspace: Workspace) -> QuerySet[AirflowImport]:
    """List the imports of a workspace, newest first, without their secrets."""
    rows = AirflowImport.objects.filter(workspace=workspace).defer("sealed")
    return rows.select_related("created_by", "deployment", "store").order_by("-created_at", "pk")


def this_machine(workspace: Workspace) -> Cluster | None:
    """Return the data plane of the portal's own machine, None where the workspace has none."""
    return clusters_for(workspace=workspace).filter(kind=Cluster.Kind.LOCAL).first()


def what_is_missing(workspace: Workspace) -> str:
    """Return what has to be there before a Deployment can be made of any import, "" for nothing."""
    clusters = list(clusters_for(workspace=workspace))
    if not clusters:
        return NO_CLUSTER
    if not all(one.is_kubernetes for one in clusters):
        return ""
    has_bucket = store_for(workspace.organization_id, ObjectStore.Use.BACKUPS) is not None
    return "" if has_bucket else NO_BUCKET


def runtimes_for(airflow_version: str) -> list[Runtime]:
    """Return the runtimes that a database of an Airflow can be migrated to, newest first."""
    offered = offered_runtimes(today=timezone.now().date())
    return [one for one in offered if Version(one.airflow_version) >= Version(airflow_version)]


def waiting_for_a_worker(*, now: datetime, limit: int) -> list[str]:
    """Return the ids of imports that no worker has, oldest first."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = AirflowImport.objects.filter(free, state__in=UNFINISHED).order_by("created_at")
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:limit]]


def is_needed(row: AirflowImport) -> bool:
    """Return whether a Deployment is still to be made of the archive; a failed one is retried."""
    rows = Revision.objects.filter(restore__backup=row.archive_key, state__in=UNSETTLED)
    return rows.filter(applied_at=None, deployment__phase=Phase.ACTIVE).exists()


def is_to_be_unpaused(row: AirflowImport) -> bool:
    """Return whether its Deployment has DAGs that ran before and were not unpaused yet."""
    if row.deployment is None or row.deployment.phase != Phase.ACTIVE or not row.ran_before:
        return False
    return "done" not in row.unpause or bool(row.unpause.get("failed"))


def report_of(row: AirflowImport) -> dict[str, Any]:
    """Return what the page shows of what was found."""
    report = row.report
    return {
        "counts": list(report.get("counts", {}).items()),
        "database_bytes": report.get("database_bytes", 0),
        "versions": report.get("versions", ""),
        "dags": report.get("dags", []),
        "users": report.get("users", []),
        "secrets": report.get("secrets", 0),
        "ran_before": row.ran_before,
    }
