"""Copies of Deployments."""

from typing import Any

from ninja import Path, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment, DeploymentShape, deployment_shape
from apps.api.wire.finding import read_again, visible
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.shapes import Shape
from apps.deployments.models import Deployment
from apps.moving.copying.services import Parts, copy_deployment
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])


class Copy(Shape):
    """Without `workspaceId` the copy lies beside its original."""

    name: str = Field(min_length=1, max_length=200)
    workspace_id: str | None = None
    include_code: bool = True
    include_variables: bool = True
    include_environment_objects: bool = True


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/copy",
    auth=on_deployment("deployment.update"),
    response=DeploymentShape,
    operation_id="CopyDeployment",
    summary="Create a Deployment that is configured as this one",
)
@once
def copy(request: Call, at: Path[AtDeployment], body: Copy) -> Any:
    """On the same cluster, with a database of its own. Takes the right to create Deployments in the
    workspace of the copy, too; secrets go along sealed.
    """
    source: Deployment = request.found
    elsewhere = body.workspace_id and visible(request, Workspace, body.workspace_id)
    operation = copy_deployment(
        actor=request.caller.user,
        source=source,
        workspace=elsewhere or source.workspace,
        name=body.name,
        parts=Parts(
            code=body.include_code,
            variables=body.include_variables,
            objects=body.include_environment_objects,
        ),
    )
    return deployment_shape(read_again(operation.deployment))
