"""Reads about code versions."""

from dataclasses import dataclass
from typing import Any, Literal

from django.db.models import Case, Exists, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.deployments.configuration.options import deployment_options
from apps.deployments.models import Deployment, Revision, RevisionState
from apps.deploys.archives.building import Reader
from apps.deploys.deliveries.images import image_digest_of
from apps.deploys.models import Deploy, DeployState, Enforcement, Preview, PreviewState

IGNORE_SYNTAX = "AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX"
Change = Literal["added", "changed", "removed"]


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A file that differs between two versions. A size is in bytes, None where the file is not."""

    path: str
    change: Change
    size_before: int | None
    size_after: int | None


def most_code_bytes(deployment: Deployment) -> int | None:
    """Return how many bytes of packed code the data plane accepts; None is no limit of its own."""
    today = timezone.now().date()
    return deployment_options(cluster=deployment.cluster, today=today).code_bytes


def most_plugin_bytes(deployment: Deployment) -> int | None:
    """Return how large plugins of a project may be together; None is no limit of its own."""
    today = timezone.now().date()
    return deployment_options(cluster=deployment.cluster, today=today).plugin_bytes


def takes_projects(deployment: Deployment) -> bool:
    """Return whether packages of a project can be installed, and its DAG files be read before: on
    this machine, and on a cluster with a registry for images.
    """
    cluster = deployment.cluster
    return not cluster.is_kubernetes or bool(cluster.registry_repository)


def with_delivery(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Add to Deployments, in the same query, `is_cicd_enforced`, `is_code_checked`, whether what
    was delivered last is being looked at and will be deployed by itself, and `is_code_waiting`,
    whether deploys wait for their turn.
    """
    own = Enforcement.objects.filter(deployment=OuterRef("pk")).values("is_on")
    default = Enforcement.objects.filter(workspace=OuterRef("workspace")).values("is_on")
    checked = Preview.objects.filter(
        deployment=OuterRef("pk"), state=PreviewState.CHECKING, is_deployed_at_once=True
    )
    waiting = Deploy.objects.filter(deployment=OuterRef("pk"), state=DeployState.WAITING)
    return deployments.annotate(
        is_cicd_enforced=Coalesce(Subquery(own), Subquery(default), False),
        is_code_checked=Exists(checked),
        is_code_waiting=Exists(waiting),
    )


def reader_of(deployment: Deployment) -> Reader:
    """Return what will read the code. On this machine a runtime is installed for the Python that
    the portal runs on; an image has its own.
    """
    if deployment.wanted is None:
        return Reader()
    configuration = deployment.wanted.configuration
    is_local = deployment.cluster.kind == Cluster.Kind.LOCAL
    values = {variable.key: variable.value for variable in configuration.variables}
    return Reader(
        runtime=configuration.runtime,
        is_portals_python=is_local,
        is_local=is_local,
        ignore_syntax=values.get(IGNORE_SYNTAX, "").strip().lower() or "glob",
    )


def deploys_of(deployment: Deployment) -> QuerySet[Deploy]:
    """List the deploys of a Deployment, newest first, without their file lists."""
    return _light(Deploy.objects.filter(deployment=deployment)).order_by("-number")


def _light(deploys: QuerySet[Deploy]) -> QuerySet[Deploy]:
    return (
        deploys.select_related("created_by", "revision", "rollback_of")
        .defer("files", "dags", "packages", "revision__config")
        .defer("rollback_of__files", "rollback_of__dags", "rollback_of__packages")
    )


def begun_deploys(deployment: Deployment, *, of: Revision) -> QuerySet[Deploy]:
    """List the deploys that have begun with the code and packages of a revision: first those that
    ran with its image, newest first.
    """
    same = {"digest": of.code_digest, "packages_digest": of.packages_digest}
    rows = Deploy.objects.filter(deployment=deployment, revision__isnull=False, **same)
    has_image = Case(When(image_digest=image_digest_of(of), then=0), default=1)
    return rows.order_by(has_image, "-number")


def current_deploy(deployment: Deployment, *, with_files: bool = False) -> Deploy | None:
    """Return the deploy whose code new runs use once the wanted revision is applied."""
    wanted = deployment.wanted
    if wanted is None or not any(artifact_digests(wanted)):
        return None
    rows = begun_deploys(deployment, of=wanted)
    return (rows if with_files else _light(rows)).first()


def artifact_digests(revision: Revision) -> tuple[str, str, str]:
    """Return the digests of the code, the lock of packages and the image of a revision."""
    return revision.code_digest, revision.packages_digest, image_digest_of(revision)


def code_warnings(deployment: Deployment) -> tuple[str, ...]:
    """Return what is wrong with the code that is wanted, as its upload said."""
    deploy = current_deploy(deployment)
    return tuple(deploy.warnings) if deploy else ()


def deploy_to_roll_back_to(deployment: Deployment) -> Deploy | None:
    """Return the newest deploy with other code that came before the current one and was applied."""
    current = current_deploy(deployment)
    if current is None:
        return None
    earlier = deploys_of(deployment).filter(number__lt=current.number)
    applied = earlier.filter(revision__applied_at__isnull=False)
    names = ("digest", "packages_digest", "image_digest")
    return applied.exclude(**{name: getattr(current, name) for name in names}).first()


def seconds_of(deploy: Deploy) -> float | None:
    """Return how long it took from the deploy until its revision ran; None while it does not."""
    applied_at = deploy.revision.applied_at if deploy.revision else None
    return (applied_at - deploy.created_at).total_seconds() if applied_at else None


def deploy_before(deploy: Deploy) -> Deploy | None:
    """Return the deploy that began before, with its files, to compare with."""
    earlier = Deploy.objects.filter(
        deployment_id=deploy.deployment_id, number__lt=deploy.number, state=DeployState.BEGUN
    )
    return earlier.order_by("-number").first()


def replacement_of(deploy: Deploy) -> Deploy | None:
    """Return the next deploy, if it took the place of this one before that was applied."""
    if deploy.revision is None or deploy.revision.state != RevisionState.SUPERSEDED:
        return None
    later = Deploy.objects.filter(
        deployment_id=deploy.deployment_id, number__gt=deploy.number, state=DeployState.BEGUN
    )
    return later.order_by("number").defer("files").first()


def file_changes(*, before: Deploy | None, after: Deploy) -> tuple[FileChange, ...]:
    """Compare two versions file by file, by content."""
    old = {file["path"]: file for file in before.files} if before else {}
    new = {file["path"]: file for file in after.files}
    changes = []
    for path in sorted(old.keys() | new.keys()):
        left, right = old.get(path), new.get(path)
        if left and right and _same(left, right):
            continue
        change: Change = "changed" if left and right else "added" if right else "removed"
        changes.append(
            FileChange(
                path=path,
                change=change,
                size_before=left["size"] if left else None,
                size_after=right["size"] if right else None,
            )
        )
    return tuple(changes)


def _same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    is_program = [bool(file.get("is_program")) for file in (left, right)]
    return bool(left["sha256"] == right["sha256"]) and is_program[0] == is_program[1]


def next_description(deploy: Deploy) -> str:
    """Suggest the description of going back to a deploy."""
    return f"Roll back to deploy {deploy.number}"
