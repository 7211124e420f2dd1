"""Deploys of code: announced, uploaded to the address that the answer names, finished."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.urls import reverse
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.shapes import CHECKING, AtDeployment
from apps.api.wire.errors import NotHere, NotOffered
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Profile, Shape, profile_of
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment, RevisionState
from apps.deploys.deliveries.queries import deploys_of
from apps.deploys.deliveries.services import roll_back
from apps.deploys.incoming.images import image_of
from apps.deploys.incoming.services import begin_upload, finish_upload
from apps.deploys.models import Deploy, PreviewState, Upload

router = Router(by_alias=True, exclude_none=True, tags=["Deploy"])
SEE, DELIVER = "deployment.deploys.view", "deployment.deploys.create"
UPLOAD_SALT = "api.upload"


class AtDeploy(AtDeployment):
    deploy_id: str


class DeployShape(Shape):
    id: str
    deployment_id: str
    type: str = "DAG_ONLY"
    status: str
    status_reason: str | None = None
    description: str
    dag_tarball_version: str | None = None
    dags_upload_url: str | None = None
    rollback_from_id: str | None = None
    image_repository: str = ""
    image_tag: str = ""
    is_dag_deploy_enabled: bool = True
    bundles: list[str] = []
    created_at: datetime
    updated_at: datetime
    created_by_subject: Profile


class DeployList(Listing):
    deploys: list[DeployShape]


class NewDeploy(Shape):
    type: str
    description: str = Field(default="", max_length=500)
    # The client of others does not know it.
    image: str = Field(default="", max_length=400)


class Finish(Shape):
    dag_tarball_version: str = Field(default="", max_length=100)


class RollBack(Shape):
    description: str = Field(default="", max_length=500)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploys",
    auth=on_deployment(SEE),
    response=DeployList,
    operation_id="ListDeploys",
    summary="List deploys, the newest first",
)
def list_deploys(request: Call, at: Path[AtDeployment], asked: Query[Paging]) -> Any:
    found = deploys_of(request.found).select_related(
        "created_by", "revision", "rollback_of__upload", "upload"
    )
    page = page_of(found, asked, sorts={"number": "-number"})
    rows = [_of_deploy(one) for one in page.rows]
    return DeployList(deploys=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploys",
    auth=on_deployment(DELIVER),
    response=DeployShape,
    operation_id="CreateDeploy",
    summary="Announce a deploy, and learn where to upload it",
)
@once
def new_deploy(request: Call, at: Path[AtDeployment], body: NewDeploy) -> Any:
    """DAGs are a gzipped tar, uploaded as to Azure Blob Storage. Beside the folder `dags` it may
    hold the rest of a project, with the packages that it needs. An image is pushed to
    `imageRepository:imageTag`, in the portal's own registry; or `image` names one that is in
    another registry already, and nothing is pushed.
    """
    if body.type not in Upload.Contents.values:
        raise NotOffered(
            "This portal takes deploys of the types DAG_ONLY, IMAGE_ONLY and IMAGE_AND_DAG."
        )
    upload = begin_upload(
        actor=request.caller.user,
        deployment=request.found,
        description=body.description,
        contents=Upload.Contents(body.type),
        image=body.image if body.type != Upload.Contents.DAGS else "",
    )
    return _of_upload(upload, with_address=True)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploys/{deployId}",
    auth=on_deployment(SEE),
    response=DeployShape,
    operation_id="GetDeploy",
    summary="Get a deploy",
)
def get_deploy(request: Call, at: Path[AtDeploy]) -> Any:
    upload = _upload(request.found, at.deploy_id)
    return _of_upload(upload) if upload else _of_deploy(_deploy(request.found, at.deploy_id))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploys/{deployId}/finalize",
    auth=on_deployment(DELIVER),
    response=DeployShape,
    operation_id="FinalizeDeploy",
    summary="Deploy what was uploaded",
)
def finish_deploy(request: Call, at: Path[AtDeploy], body: Finish) -> Any:
    """Check what was sent, store it and make a revision with it. 400 with all problems where it is
    not accepted, 409 where nothing was uploaded or pushed. What runs already is fine.

    A project that needs packages is deployed once they are installed and its DAGs were read: until
    then the status is INITIALIZED and that of the Deployment DEPLOYING. Where something is wrong
    the status is FAILED, and `statusReason` says what.
    """
    upload = _upload(request.found, at.deploy_id)
    if upload is None:
        raise NotHere
    upload.deployment = request.found
    done = finish_upload(actor=request.caller.user, upload=upload, version=body.dag_tarball_version)
    return _of_upload(done)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploys/{deployId}/rollback",
    auth=on_deployment(DELIVER),
    response=DeployShape,
    operation_id="DeployRollback",
    summary="Deploy the code of an earlier deploy again",
)
@once
def roll_back_to(request: Call, at: Path[AtDeploy], body: RollBack) -> Any:
    delivery = roll_back(
        actor=request.caller.user,
        deployment=request.found,
        deploy=_deploy(request.found, at.deploy_id),
        description=body.description,
    )
    return _of_deploy(delivery.deploy)


def upload_of_key(key: str) -> Upload | None:
    """Find the upload that an address was made for, within a day, until it is finished."""
    try:
        number = signing.loads(key, salt=UPLOAD_SALT, max_age=86_400)
    except signing.BadSignature:
        return None
    waiting = Upload.objects.filter(pk=number, finished_at=None)
    return waiting.select_related("deployment", "created_by").first()


def _of_upload(upload: Upload, *, with_address: bool = False) -> DeployShape:
    image = image_of(upload) if upload.has_image else None
    status, reason = _progress(upload)
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
        dags_upload_url=_address(upload) if with_address else None,
        created_at=upload.created_at,
        updated_at=upload.finished_at or upload.created_at,
        created_by_subject=profile_of(upload.created_by),
    )


def _progress(upload: Upload) -> tuple[str, str]:
    """Return how far an upload is, and what stands in its way."""
    if upload.failure:
        return "FAILED", upload.failure
    preview = upload.preview
    if preview is None or preview.state == PreviewState.DEPLOYED:
        deploy = upload.deploy if preview is None else preview.deploy
        return _status(deploy) if deploy else _without_deploy(upload), ""
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


def _of_deploy(deploy: Deploy) -> DeployShape:
    origin = deploy.rollback_of
    upload: Upload | None = getattr(deploy, "upload", None)
    return DeployShape(
        id=_id_of(deploy),
        type=upload.contents if upload else Upload.Contents.DAGS,
        deployment_id=public_id("deployment", deploy.deployment_id),
        status=_status(deploy),
        description=deploy.description,
        dag_tarball_version=deploy.digest[:24],
        rollback_from_id=_id_of(origin) if origin else None,
        image_tag=f"revision-{deploy.revision.number}",
        created_at=deploy.created_at,
        updated_at=deploy.created_at,
        created_by_subject=profile_of(deploy.created_by),
    )


def _id_of(deploy: Deploy) -> str:
    upload: Upload | None = getattr(deploy, "upload", None)
    return public_id("upload", upload.pk) if upload else public_id("deploy", deploy.pk)


def _status(deploy: Deploy) -> str:
    failed = deploy.revision.state == RevisionState.FAILED
    return "FAILED" if failed else "DEPLOYED"


def _address(upload: Upload) -> str:
    key = signing.dumps(upload.pk, salt=UPLOAD_SALT)
    return f"{settings.PORTAL_URL}{reverse('api:upload')}?key={key}"


def _upload(deployment: Deployment, text: str) -> Upload | None:
    number = number_of("upload", text)
    uploads = Upload.objects.filter(deployment=deployment, pk=number)
    parts = ("created_by", "deployment", "deploy__revision", "preview__deploy__revision")
    return uploads.select_related(*parts).first() if number else None


def _deploy(deployment: Deployment, text: str) -> Deploy:
    by_upload, by_number = number_of("upload", text), number_of("deploy", text)
    named = Q(upload__pk=by_upload) if by_upload else Q(pk=by_number)
    deploys = Deploy.objects.filter(named, deployment=deployment)
    found = deploys.select_related("created_by", "revision", "rollback_of", "upload").first()
    if found is None:
        raise NotHere
    return found
