"""The job of a check: install the new runtime beside the old one, read the DAG files in it, and
compare. Nothing that runs is changed, and every step can be repeated.
"""

import time
from datetime import datetime, timedelta
from pathlib import Path

from django.db.models import F, Q

from apps.backups.models import Backup, BackupState
from apps.backups.queries import has_place
from apps.backups.services import NO_BUCKET
from apps.clusters.connections.planes import plane_for
from apps.dataplane.airflow_answers.table_sizes import TableSize, read_table_sizes
from apps.dataplane.base import SupportsProjects, SupportsReleases
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.project_checks.upgrade_rules import check_code
from apps.dataplane.spec import CodeSpec, DeploymentSpec, RuntimeSpec
from apps.dataplane.variables import OPTION_PREFIX
from apps.deployments.models import Deployment, OperationStep, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.deploys.deliveries.packages import install_packages
from apps.runtimes.catalogue import runtime_called
from apps.upgrades import findings
from apps.upgrades.findings import BACKED_UP, Finding, finding
from apps.upgrades.models import Upgrade, UpgradeState
from apps.upgrades.services import refusals_of

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
    candidate = _candidate(deployment, wanted, upgrade.target)
    spec = compile_spec(deployment=deployment, revision=candidate)
    keys = [variable.key for variable in spec.variables]
    return [
        *findings.of_refusals(refusals_of(deployment, upgrade.target)),
        *_in_new_runtime(deployment, candidate, spec),
        *findings.of_packages(before, after),
        *findings.of_options(keys, before, after),
        findings.of_database(
            _tables(deployment), _last_size(deployment), _usual_seconds(deployment)
        ),
        _backup(deployment),
    ]


def _candidate(deployment: Deployment, wanted: Revision, target: str) -> Revision:
    """Return the revision that the upgrade would make; it is not saved."""
    return Revision(
        deployment_id=deployment.pk,
        number=wanted.number + 1,
        config=wanted.config | {"runtime": target},
        code_digest=wanted.code_digest,
        packages_digest=wanted.packages_digest,
    )


def _in_new_runtime(
    deployment: Deployment, candidate: Revision, spec: DeploymentSpec
) -> list[Finding]:
    """Say what the new Airflow makes of the DAG files and of the options, and Ruff of the code."""
    has_options = any(one.key.startswith(OPTION_PREFIX) for one in spec.variables)
    examples = finding("good", "No code is deployed: the example DAGs come with the runtime")
    if spec.code is None and not has_options:
        return [examples]
    plane = plane_for(deployment.cluster)
    if not isinstance(plane, SupportsProjects):
        return [finding("warn", "This data plane cannot read DAG files before they are used")]
    if isinstance(plane, SupportsReleases) and not deployment.cluster.is_kubernetes:
        _install(plane, spec.runtime)
    try:
        spec, _ = install_packages(plane=plane, deployment=deployment, revision=candidate)
        parsed = plane.parse_project(spec=spec)
    except Permanent as error:
        title = f"The DAG files could not be read with {spec.runtime.version}"
        return [finding("bad", title, error.message, error.log), *_code(spec.code)]
    options = [findings.of_option_issues(parsed.option_issues)] if has_options else []
    read = findings.of_project(parsed, spec.runtime.version) if spec.code else examples
    return [read, *_code(spec.code), *options]


def _code(code: CodeSpec | None) -> list[Finding]:
    if code is None:
        return []
    try:
        return findings.of_code(check_code(Path(code.archive_path)))
    except Permanent as error:
        return [
            finding("warn", "The code was not checked for what Airflow 3 removed", error.message)
        ]


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
