"""The job of a preview: lock the packages, install them, read the DAG files. Minutes at most.

A row is claimed for as long as the longest step may take, so that a worker that was killed is
followed by another. Every step can be repeated.
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F, Q
from django.utils import timezone

from apps.clusters.connections.planes import plane_for
from apps.dataplane.base import DataPlane, SupportsProjects
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.project import PackageLock, ParsedProject
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.untrusted import rows_of, text_of
from apps.deployments.models import Phase, Revision
from apps.deployments.reconciling.compiler import compile_spec, lock_name
from apps.deploys.deliveries.packages import install_packages, with_package_indexes
from apps.deploys.deliveries.queries import current_deploy
from apps.deploys.models import Preview, PreviewState
from apps.deploys.previews.services import deploy_if_nothing_is_wrong

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=12)
MOST_ATTEMPTS = 3
ACTIVE_RUNS = "/api/v2/dags/~/dagRuns?state=running&state=queued&limit=100"
MOST_LOG_LINES = 200
INTERRUPTED = (
    "The check was interrupted three times, so it was given up. Check it again; if that fails, "
    "too, the machine may have too little memory."
)


def due(*, now: datetime) -> list[int]:
    """Return the previews that wait for a worker."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Preview.objects.filter(free, state=PreviewState.CHECKING)
    return list(rows.order_by("created_at").values_list("pk", flat=True)[:20])


def check(*, preview_id: int, now: datetime) -> None:
    """Check one preview, unless another worker does. What fails is its `problem`."""
    preview = _claim(preview_id, now)
    if preview is None:
        return
    began = time.monotonic()
    try:
        _check(preview)
    except DataPlaneError as error:
        preview.state, preview.problem = PreviewState.FAILED, error.message[:1500]
        preview.log = list(error.log)[-MOST_LOG_LINES:]
    preview.took_seconds, preview.checked_at = time.monotonic() - began, timezone.now()
    _save_result(preview)
    if preview.state == PreviewState.READY:
        deploy_if_nothing_is_wrong(preview)


def _claim(preview_id: int, now: datetime) -> Preview | None:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Preview.objects.filter(free, pk=preview_id, state=PreviewState.CHECKING)
    if rows.filter(attempts__gte=MOST_ATTEMPTS).update(
        state=PreviewState.FAILED, problem=INTERRUPTED, lease_until=None
    ):
        return None
    if not rows.update(lease_until=now + LEASE, attempts=F("attempts") + 1):
        return None
    above = ("deployment__cluster", "deployment__wanted", "deployment__workspace", "created_by")
    return Preview.objects.select_related(*above).get(pk=preview_id)


def _check(preview: Preview) -> None:
    deployment, wanted = preview.deployment, preview.deployment.wanted
    if wanted is None or deployment.phase != Phase.ACTIVE:
        preview.state = PreviewState.DISCARDED
        return
    plane = plane_for(deployment.cluster)
    if not isinstance(plane, SupportsProjects):
        preview.state = PreviewState.FAILED
        preview.problem = "This data plane cannot look at code before it runs."
        return
    preview.base, preview.runtime = wanted, wanted.configuration.runtime
    spec = with_package_indexes(compile_spec(deployment=deployment, revision=wanted), deployment)
    _note(preview, "packages")
    lock = plane.lock_packages(
        spec=spec,
        requirements=tuple(preview.needs.get("lines", ())),
        preferred=preview.needs.get("preferred", {}),
    )
    preview.packages_digest = _keep_lock(lock)
    candidate = _candidate(preview, wanted)
    _note(preview, "install")
    spec, packages = install_packages(plane=plane, deployment=deployment, revision=candidate)
    preview.packages = [[one.name, one.version, one.size_bytes] for one in packages]
    _note(preview, "read")
    _read_dags(preview, plane, spec)
    preview.before = _before(preview, plane, wanted)
    preview.state = PreviewState.READY


def _candidate(preview: Preview, wanted: Revision) -> Revision:
    """Return the revision that deploying the preview would make; it is not saved."""
    return Revision(
        deployment_id=preview.deployment_id,
        number=wanted.number + 1,
        config=wanted.config,
        code_digest=preview.digest,
        packages_digest=preview.packages_digest,
    )


def _keep_lock(lock: PackageLock) -> str:
    """Store a lock under its digest and return that; "" where there is nothing to lock."""
    if not lock.text:
        return ""
    digest = hashlib.sha256(lock.text.encode()).hexdigest()
    if not default_storage.exists(lock_name(digest)):
        saved = default_storage.save(lock_name(digest), ContentFile(lock.text.encode()))
        if saved != lock_name(digest):
            default_storage.delete(saved)
    return digest


def _read_dags(preview: Preview, plane: SupportsProjects, spec: DeploymentSpec) -> None:
    parsed = plane.parse_project(spec=spec)
    preview.dags = dag_rows(parsed)
    preview.errors = [
        [one.file, one.line, one.message, one.traceback, one.needs_airflow] for one in parsed.errors
    ]
    if parsed.names is not None:
        preview.names = [
            [one.kind, one.name, one.file, one.line, one.has_default] for one in parsed.names
        ]
    preview.log = [f"{parsed.file_count} DAG files were read in {parsed.seconds:.1f} seconds."]


def dag_rows(parsed: ParsedProject) -> list[list[Any]]:
    """Return DAGs as `Deploy.dags` stores them."""
    return [
        [one.dag_id, one.file, one.schedule, one.task_count, list(one.owners), list(one.tags)]
        for one in parsed.dags
    ]


def _before(preview: Preview, plane: Any, wanted: Revision) -> dict[str, Any]:
    """Return what runs now: its DAGs, and the unfinished runs of those that would be gone."""
    current = current_deploy(preview.deployment)
    rows: Sequence[Sequence[Any]] | None = current.dags if current else []
    if rows is None:
        rows = _dags_of(preview, plane, wanted)
    if rows is None:
        return {"dags": None, "running": None}
    gone = {row[0] for row in rows} - {row[0] for row in preview.dags}
    running = _running(preview, plane, wanted) if gone else {}
    return {"dags": list(rows), "running": running}


def _dags_of(preview: Preview, plane: SupportsProjects, wanted: Revision) -> list[list[Any]] | None:
    """Read the DAGs of code that was delivered without a look; None where that fails."""
    try:
        deployment = preview.deployment
        spec, _ = install_packages(plane=plane, deployment=deployment, revision=wanted)
        return dag_rows(plane.parse_project(spec=spec))
    except DataPlaneError as error:
        logger.info("current DAGs not read: %s", error.message)
        return None


def _running(preview: Preview, plane: DataPlane, wanted: Revision) -> dict[str, int] | None:
    """Return how many runs of each DAG are not finished, None where Airflow does not answer."""
    try:
        spec = compile_spec(deployment=preview.deployment, revision=wanted)
        response = plane.airflow(spec=spec, method="GET", path=ACTIVE_RUNS)
    except DataPlaneError:
        return None
    if response.status != 200 or not isinstance(response.data, dict):
        return None
    rows = rows_of(response.data.get("dag_runs"), 100)
    return dict(Counter(text_of(row.get("dag_id"), 250) for row in rows))


def _note(preview: Preview, step: str) -> None:
    now = timezone.now()
    preview.step_times = {**preview.step_times, step: now.isoformat(timespec="milliseconds")}
    Preview.objects.filter(pk=preview.pk).update(
        step=step, step_times=preview.step_times, lease_until=now + LEASE
    )


def _save_result(preview: Preview) -> None:
    """Write what was found, unless the preview was discarded meanwhile."""
    names = ("state", "problem", "log", "base", "runtime", "packages_digest", "packages")
    more = ("dags", "errors", "names", "before", "checked_at", "took_seconds")
    Preview.objects.filter(pk=preview.pk, state=PreviewState.CHECKING).update(
        lease_until=None, **{name: getattr(preview, name) for name in (*names, *more)}
    )
