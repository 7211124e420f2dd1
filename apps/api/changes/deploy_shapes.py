"""What the API says of deploys and of uploads that become some."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from apps.api.deployments.shapes import CHECKING, WAITING
from apps.api.wire.shapes import Profile, Shape, profile_of
from apps.core.public_ids import public_id
from apps.deployments.models import RevisionState
from apps.deploys.deliveries.queries import seconds_of
from apps.deploys.incoming.images import image_of
from apps.deploys.models import Deploy, DeployState, Kind, PreviewState, Upload
from apps.deploys.previews.steps import DeployStep, steps_of_check, steps_of_deploy
from apps.own_images.references import reference_of

TYPES = {
    Kind.DAGS: Upload.Contents.DAGS,
    Kind.PROJECT: Upload.Contents.DAGS,
    Kind.IMAGE: Upload.Contents.IMAGE,
    Kind.IMAGE_AND_DAGS: Upload.Contents.BOTH,
}


class GitShape(Shape):
    """The commit that was delivered, as git or the pipeline said."""

    repository: str
    branch: str
    path: str
    commit_sha: str
    author_name: str
    message: str
    commit_url: str


class DeployStepShape(Shape):
    """`state` is waiting, running, done, skipped or failed; `log` is the output where it failed."""

    title: str
    state: str
    detail: str
    log: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class DeployShape(Shape):
    """`status` is INITIALIZED before it begins, DEPLOYED or FAILED. `source` is hand, token or git.
    The digests are of the code, of the lock of its packages and of the image that it ran with;
    `seconds` is from the delivery until it ran. Only one deploy has `steps`, not a list.
    """

    id: str
    deployment_id: str
    number: int | None = None
    type: str = "DAG_ONLY"
    status: str
    status_reason: str | None = None
    description: str
    source: str | None = None
    git: GitShape | None = None
    dag_tarball_version: str | None = None
    dags_upload_url: str | None = None
    rollback_from_id: str | None = None
    image_repository: str = ""
    image_tag: str = ""
    code_digest: str | None = None
    packages_digest: str | None = None
    image_digest: str | None = None
    revision_number: int | None = None
    seconds: float | None = None
    steps: list[DeployStepShape] | None = None
    is_dag_deploy_enabled: bool = True
    bundles: list[str] = []
    created_at: datetime
    updated_at: datetime
    created_by_subject: Profile


def of_upload(upload: Upload, *, address: str = "", with_steps: bool = False) -> DeployShape:
    image = image_of(upload) if upload.has_image else None
    status, reason = _progress(upload)
    fields = _facts_of_upload(upload, with_steps=with_steps)
    return DeployShape(
        id=public_id("upload", upload.pk),
        deployment_id=public_id("deployment", upload.deployment_id),
        type=upload.contents,
        image_repository=f"{image.registry}/{image.repository}" if image else "",
        image_tag=(image.tag or image.digest) if image else "",
        status=status,
        status_reason=reason or None,
        description=upload.description,
        dag_tarball_version=upload.version or None,
        dags_upload_url=address or None,
        created_at=upload.created_at,
        updated_at=upload.finished_at or upload.created_at,
        created_by_subject=profile_of(upload.created_by),
        **fields,
    )


def of_deploy(deploy: Deploy, *, with_steps: bool = False) -> DeployShape:
    origin = deploy.rollback_of
    status, reason = _status(deploy)
    tag = f"revision-{deploy.revision.number}" if deploy.revision else ""
    image = reference_of(deploy.image["name"]) if deploy.image else None
    return DeployShape(
        id=id_of(deploy),
        type=TYPES[Kind(deploy.kind)],
        deployment_id=public_id("deployment", deploy.deployment_id),
        status=status,
        status_reason=reason or None,
        description=deploy.description,
        dag_tarball_version=deploy.digest[:24],
        rollback_from_id=id_of(origin) if origin else None,
        image_repository=f"{image.registry}/{image.repository}" if image else "",
        image_tag=(image.tag or image.digest) if image else tag,
        created_at=deploy.created_at,
        updated_at=deploy.created_at,
        created_by_subject=profile_of(deploy.created_by),
        **_facts(deploy, with_steps=with_steps),
    )


def id_of(deploy: Deploy) -> str:
    upload: Upload | None = getattr(deploy, "upload", None)
    return public_id("upload", upload.pk) if upload else public_id("deploy", deploy.pk)


def _facts_of_upload(upload: Upload, *, with_steps: bool) -> dict[str, Any]:
    preview = upload.preview
    deploy = upload.deploy or (preview.deploy if preview else None)
    if deploy:
        return _facts(deploy, with_steps=with_steps)
    return {"steps": _steps(steps_of_check(preview))} if preview and with_steps else {}


def _facts(deploy: Deploy, *, with_steps: bool) -> dict[str, Any]:
    return {
        "number": deploy.number,
        "source": deploy.source,
        "git": _git(deploy),
        "code_digest": deploy.digest or None,
        "packages_digest": deploy.packages_digest or None,
        "image_digest": deploy.image_digest or None,
        "revision_number": deploy.revision.number if deploy.revision else None,
        "seconds": seconds_of(deploy),
        "steps": _steps(steps_of_deploy(deploy)) if with_steps else None,
    }


def _git(deploy: Deploy) -> GitShape | None:
    if not deploy.git_commit:
        return None
    return GitShape(
        repository=deploy.git_repository,
        branch=deploy.git_branch,
        path=deploy.git_path,
        commit_sha=deploy.git_commit,
        author_name=deploy.git_author,
        message=deploy.git_message,
        commit_url=deploy.git_url,
    )


def _steps(steps: Iterable[DeployStep]) -> list[DeployStepShape]:
    return [
        DeployStepShape(
            title=one.title,
            state=one.state,
            detail=one.detail,
            log="\n".join(one.log) or None,
            started_at=one.started_at,
            ended_at=one.ended_at,
        )
        for one in steps
    ]


def _progress(upload: Upload) -> tuple[str, str]:
    """Return how far an upload is, and what stands in its way."""
    if upload.failure:
        return "FAILED", upload.failure
    preview = upload.preview
    if preview is None or preview.state == PreviewState.DEPLOYED:
        deploy = upload.deploy if preview is None else preview.deploy
        return _status(deploy) if deploy else (_without_deploy(upload), "")
    if preview.state == PreviewState.CHECKING:
        return "INITIALIZED", CHECKING
    if preview.state == PreviewState.FAILED:
        return "FAILED", preview.problem
    if preview.state == PreviewState.DISCARDED:
        return "FAILED", "It was discarded."
    page = reverse("deploys:preview", args=[upload.deployment.ref, preview.number])
    return "FAILED", f"It waits for a person to decide: {settings.PORTAL_URL}{page}"


def _without_deploy(upload: Upload) -> str:
    # What was delivered runs already.
    return "DEPLOYED" if upload.finished_at else "INITIALIZED"


def _status(deploy: Deploy) -> tuple[str, str]:
    if deploy.state == DeployState.WAITING:
        return "INITIALIZED", WAITING
    if deploy.revision is None:
        return "FAILED", deploy.problem
    if deploy.revision.state == RevisionState.FAILED:
        return "FAILED", deploy.revision.failure
    return "DEPLOYED", ""
