"""Copies of Deployments."""

from typing import Any

from ninja import Path, Router
from pydantic import Field

from apps.access.scoped import require
from apps.api.deployments.shapes import AtDeployment, DeploymentShape, deployment_shape
from apps.api.wire.finding import read_again, visible
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.shapes import Shape
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for
from apps.core.errors import Invalid
from apps.core.public_ids import number_of
from apps.deployments.models import Deployment
from apps.moving.copying.services import CREATE, Parts, copy_deployment
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])


class Copy(Shape):
    """Without `workspaceId` the copy lies beside its original, without `clusterId` on its cluster.
    With `adaptToCluster` settings that the other cluster does not offer become what is usual there.
    """

    name: str = Field(min_length=1, max_length=200)
    workspace_id: str | None = None
    cluster_id: str | None = None
    adapt_to_cluster: bool = False
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
    """With a database of its own. Takes the right to create Deployments in the workspace of the
    copy, too; secrets go along sealed.
    """
    source: Deployment = request.found
    elsewhere = body.workspace_id and visible(request, Workspace, body.workspace_id)
    workspace = elsewhere or source.workspace
    operation = copy_deployment(
        actor=request.caller.user,
        source=source,
        workspace=workspace,
        cluster=_cluster_called(request, workspace, body.cluster_id),
        name=body.name,
        parts=Parts(
            code=body.include_code,
            variables=body.include_variables,
            objects=body.include_environment_objects,
            fits=body.adapt_to_cluster,
        ),
    )
    return deployment_shape(read_again(operation.deployment))


def _cluster_called(request: Call, workspace: Workspace, text: str | None) -> Cluster | None:
    """Find a cluster for a copy; None where none is named. Raises Invalid for one that the
    workspace may not use, which is said to those who may create Deployments in it.
    """
    if not text:
        return None
    require(user=request.caller.user, permission=CREATE, on=workspace)
    found = clusters_for(workspace=workspace).filter(pk=number_of("cluster", text)).first()
    if found is None:
        raise Invalid("This workspace cannot use that cluster.", field="clusterId")
    return found
