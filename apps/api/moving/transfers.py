"""Deployments that go to another workspace."""

from typing import Any

from ninja import Path, Query, Router

from apps.api.deployments.shapes import AtDeployment, DeploymentShape, deployment_shape
from apps.api.wire.finding import read_again, visible
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.deployments.models import Deployment
from apps.moving.transferring.queries import Preview, preview_transfer
from apps.moving.transferring.services import LEAVE, ensure_may_transfer, transfer_deployment
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])
ADDRESS = "/organizations/{organizationId}/deployments/{deploymentId}/transfer"


class Transfer(Shape):
    workspace_id: str


class TransferredSetting(Shape):
    setting: str
    before: str
    after: str


class TransferShape(Shape):
    """People by their mail addresses; they, and names of connections and variables, are left out
    where the caller may not see those of both workspaces. With `refusals` it is refused.
    """

    refusals: list[str]
    lose_access: list[str] | None = None
    gain_access: list[str] | None = None
    other_rights: list[str] | None = None
    revoked_tokens: list[str]
    lost_environment_objects: list[str] | None = None
    replaced_environment_objects: list[str] | None = None
    gained_environment_objects: list[str] | None = None
    deleted_alerts: list[str]
    settings: list[TransferredSetting]
    notes: list[str]
    is_restarted: bool


@router.get(
    ADDRESS,
    auth=on_deployment(LEAVE),
    response=TransferShape,
    operation_id="PreviewDeploymentTransfer",
    summary="Show what a transfer to another workspace would change",
)
def preview(request: Call, at: Path[AtDeployment], asked: Query[Transfer]) -> Any:
    deployment: Deployment = request.found
    workspace = visible(request, Workspace, asked.workspace_id)
    user = request.caller.user
    ensure_may_transfer(actor=user, deployment=deployment, workspace=workspace)
    return _shape(preview_transfer(user=user, deployment=deployment, workspace=workspace))


@router.post(
    ADDRESS,
    auth=on_deployment(LEAVE),
    response=DeploymentShape,
    operation_id="TransferDeployment",
    summary="Transfer a Deployment to another workspace",
)
def transfer(request: Call, at: Path[AtDeployment], body: Transfer) -> Any:
    """Within its organization; it takes the right to create Deployments in both. Roles on the
    Deployment end and its API tokens are revoked. 409 while a change is being applied.
    """
    moved = transfer_deployment(
        actor=request.caller.user,
        deployment=request.found,
        workspace=visible(request, Workspace, body.workspace_id),
    )
    return deployment_shape(read_again(moved))


def _shape(found: Preview) -> TransferShape:
    access, objects = found.access, found.objects
    shape = TransferShape(
        refusals=list(found.refusals),
        revoked_tokens=list(access.tokens),
        deleted_alerts=list(found.alert_rules),
        settings=[
            TransferredSetting(setting=label, before=before, after=after)
            for label, before, after in found.settings
        ],
        notes=list(found.notes),
        is_restarted=found.restarts,
    )
    if found.shows_people:
        shape.lose_access = [one.email for one in access.lost]
        shape.gain_access = [one.email for one in access.gained]
        shape.other_rights = [one.person.email for one in access.changed]
    if found.shows_objects:
        shape.lost_environment_objects = [one.name for one in objects.lost]
        shape.replaced_environment_objects = [one.name for one in objects.replaced]
        shape.gained_environment_objects = [one.name for one in objects.gained]
    return shape
