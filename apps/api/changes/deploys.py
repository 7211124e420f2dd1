"""Deploys of code: announced, uploaded to the address that the answer names, finished."""

from typing import Any

from django.db.models import Q
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.changes.commits import CommitBody
from apps.api.changes.deploy_shapes import DeployShape, of_deploy, of_upload
from apps.api.changes.upload_addresses import address_of
from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import NotOffered, or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Shape
from apps.core.public_ids import number_of
from apps.deployments.models import Deployment
from apps.deploys.deliveries.origins import NOT_KNOWN
from apps.deploys.deliveries.queries import deploys_of
from apps.deploys.deliveries.queue import cancel
from apps.deploys.deliveries.services import roll_back
from apps.deploys.incoming.services import begin_upload, finish_upload
from apps.deploys.models import Deploy, Upload

router = Router(by_alias=True, exclude_none=True, tags=["Deploy"])
SEE, DELIVER = "deployment.deploys.view", "deployment.deploys.create"


class AtDeploy(AtDeployment):
    deploy_id: str


class DeployList(Listing):
    deploys: list[DeployShape]


class NewDeploy(Shape):
    type: str
    description: str = Field(default="", max_length=500)
    # The client of others does not know it.
    image: str = Field(default="", max_length=400)
    git: CommitBody | None = None


class Finish(Shape):
    dag_tarball_version: str = Field(default="", max_length=100)


class RollBack(Shape):
    """With `code_alone` the packages and the image of now stay."""

    description: str = Field(default="", max_length=500)
    code_alone: bool = False


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
    rows = [of_deploy(one) for one in page.rows]
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
        origin=body.git.origin(message=body.description) if body.git else NOT_KNOWN,
    )
    return of_upload(upload, address=address_of(upload))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploys/{deployId}",
    auth=on_deployment(SEE),
    response=DeployShape,
    operation_id="GetDeploy",
    summary="Get a deploy with its steps",
)
def get_deploy(request: Call, at: Path[AtDeploy]) -> Any:
    upload = _upload(request.found, at.deploy_id)
    if upload:
        return of_upload(upload, with_steps=True)
    return of_deploy(_deploy(request.found, at.deploy_id), with_steps=True)


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

    While another deploy is in progress this one waits for it, INITIALIZED.
    A project that needs packages is deployed once they are installed and its DAGs were read: until
    then the status is INITIALIZED and that of the Deployment DEPLOYING. Where something is wrong
    the status is FAILED, and `statusReason` says what.
    """
    upload = or_404(_upload(request.found, at.deploy_id))
    upload.deployment = request.found
    done = finish_upload(actor=request.caller.user, upload=upload, version=body.dag_tarball_version)
    return of_upload(done)


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
        is_code_alone=body.code_alone,
    )
    return of_deploy(delivery.deploy)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/deploys/{deployId}/cancel",
    auth=on_deployment(DELIVER),
    response=DeployShape,
    operation_id="CancelDeploy",
    summary="Take a deploy out of the queue",
)
def cancel_deploy(request: Call, at: Path[AtDeploy]) -> Any:
    """A deploy waits while another one is in progress. 409 for one that has begun."""
    cancel(actor=request.caller.user, deploy=_deploy(request.found, at.deploy_id))
    return of_deploy(_deploy(request.found, at.deploy_id))


def _upload(deployment: Deployment, text: str) -> Upload | None:
    number = number_of("upload", text)
    uploads = Upload.objects.filter(deployment=deployment, pk=number)
    parts = ("created_by", "deployment", "deploy__revision", "preview__deploy__revision")
    return uploads.select_related(*parts).first() if number else None


def _deploy(deployment: Deployment, text: str) -> Deploy:
    by_upload, by_number = number_of("upload", text), number_of("deploy", text)
    named = Q(upload__pk=by_upload) if by_upload else Q(pk=by_number)
    deploys = Deploy.objects.filter(named, deployment=deployment)
    return or_404(deploys.select_related("created_by", "revision", "rollback_of", "upload").first())
