"""The job of a check: install the new runtime beside the old one, read the DAG files in it, and
compare. Nothing that runs is changed, and every step can be repeated.
"""

import time
from datetime import datetime, timedelta

from django.db.models import F, Q

from apps.backups.models import Backup, BackupState
from apps.backups.queries import has_place
from apps.backups.services import NO_BUCKET
from apps.clusters.connections.planes import plane_for
from apps.dataplane.airflow_answers.table_sizes import TableSize, read_table_sizes
from apps.dataplane.base import DataPlane, SupportsProjects, SupportsReleases
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.spec import RuntimeSpec
from apps.deployments.models import Deployment, OperationStep, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.runtimes.catalogue import runtime_called
from apps.upgrades import findings
from apps.upgrades.findings import BACKED_UP, Finding, finding
from apps.upgrades.models import Upgrade, UpgradeState

LEASE = timedelta(minutes=20)
INSTALL_SECONDS, LOOK_SECONDS = 600.0, 2.0
MOST_ATTEMPTS = 3
RECENT = 5


def due(*, now: datetime) -> list[int]:
    """Return the upgrades whose check no worker has."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Upgrade.objects.filter(free, state=UpgradeState.CHECKING).order_by("created_at")
    return list(rows.values_list("pk", flat=True)[:20])


def check(*, upgrade_id: int, now: datetime) -> None:
    """Check one upgrade, unless another worker does. What fails is a finding, too."""
    upgrade = _claim(upgrade_id, now)
    if upgrade is None:
        return
    try:
        found = _findings(upgrade)
    except (DataPlaneError, KeyError) as error:
        message = getattr(error, "message", "The runtime is not in the catalogue any more.")
        found = [finding("bad", "The check did not come to its end", message)]
    Upgrade.objects.filter(pk=upgrade.pk, state=UpgradeState.CHECKING).update(
        state=UpgradeState.READY, findings=found, lease_until=None
    )


def _claim(upgrade_id: int, now: datetime) -> Upgrade | None:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Upgrade.objects.filter(free, pk=upgrade_id, state=UpgradeState.CHECKING)
    cut = finding("bad", "The check was interrupted three times", "Check again.")
    if rows.filter(attempts__gte=MOST_ATTEMPTS).update(
        state=UpgradeState.READY, findings=[cut], lease_until=None
    ):
        return None
    if not rows.update(lease_until=now + LEASE, attempts=F("attempts") + 1):
        return None
    above = [f"deployment__{one}" for one in ("cluster", "wanted", "applied", "workspace")]
    return Upgrade.objects.select_related(*above).get(pk=upgrade_id)


def _findings(upgrade: Upgrade) -> list[Finding]:
    deployment, wanted = upgrade.deployment, upgrade.deployment.wanted
    if wanted is None:
        raise Permanent("The Deployment has no revision yet.")
    before, after = runtime_called(upgrade.source), runtime_called(upgrade.target)
    keys = [variable.key for variable in wanted.configuration.variables]
    return [
        _read_dags(plane_for(deployment.cluster), deployment, wanted, upgrade.target),
        *findings.of_packages(before, after),
        *findings.of_options(keys, before, after),
        findings.of_database(
            _tables(deployment), _last_size(deployment), _usual_seconds(deployment)
        ),
        _backup(deployment),
    ]


def _read_dags(plane: DataPlane, deployment: Deployment, wanted: Revision, target: str) -> Finding:
    if not wanted.code_digest:
        return finding("good", "No code is deployed: the example DAGs come with the runtime")
    if not isinstance(plane, SupportsProjects):
        return finding("warn", "This data plane cannot read DAG files before they are used")
    candidate = Revision(
        deployment_id=deployment.pk,
        number=wanted.number + 1,
        config=wanted.config | {"runtime": target},
        code_digest=wanted.code_digest,
        packages_digest=wanted.packages_digest,
    )
    spec = compile_spec(deployment=deployment, revision=candidate)
    if isinstance(plane, SupportsReleases) and not deployment.cluster.is_kubernetes:
        _install(plane, spec.runtime)
    plane.install_packages(spec=spec)
    return findings.of_project(plane.parse_project(spec=spec), target)


def _install(plane: SupportsReleases, runtime: RuntimeSpec) -> None:
    deadline = time.monotonic() + INSTALL_SECONDS
    while message := plane.prepare_runtime(runtime=runtime):
        if time.monotonic() > deadline:
            raise Temporary(f"The new runtime was not installed within 10 minutes. {message}")
        time.sleep(LOOK_SECONDS)


def _tables(deployment: Deployment) -> tuple[TableSize, ...]:
    """Return the tables of what runs; none while it sleeps, or does not answer."""
    if deployment.applied is None or deployment.is_hibernating:
        return ()
    spec = compile_spec(deployment=deployment, revision=deployment.applied)
    return read_table_sizes(plane_for(deployment.cluster), spec=spec)


def _last_size(deployment: Deployment) -> int | None:
    rows = Backup.objects.filter(deployment=deployment, state=BackupState.DONE)
    return rows.order_by("-created_at").values_list("size_bytes", flat=True).first()


def _usual_seconds(deployment: Deployment) -> float | None:
    """Return the median of the last migrations on the cluster in seconds."""
    rows = OperationStep.objects.filter(
        operation__deployment__cluster=deployment.cluster,
        key__in=("migrate", "migration"),
        state="done",
        started_at__isnull=False,
        ended_at__isnull=False,
    ).order_by("-ended_at")[:RECENT]
    took = sorted(
        (one.ended_at - one.started_at).total_seconds()
        for one in rows
        if one.ended_at and one.started_at
    )
    return took[len(took) // 2] if took else None


def _backup(deployment: Deployment) -> Finding:
    if not has_place(deployment):
        return finding("warn", "No backup is made", NO_BUCKET)
    return finding(
        "good",
        BACKED_UP,
        "The way back is to restore it: what Airflow's database learns after it is lost then.",
    )
