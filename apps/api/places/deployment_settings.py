"""What organizations, clusters and workspaces say about the settings of their Deployments, and what
holds for one of them.
"""

from typing import Any

from ninja import Path, Router

from apps.api.places.clusters import AtCluster, clusters_of_caller
from apps.api.wire.errors import or_404
from apps.api.wire.etags import IF_MATCH, is_matched
from apps.api.wire.gates import Call, in_organization, on_deployment, on_workspace
from apps.api.wire.shapes import AtWorkspace, InOrganization, Shape
from apps.core.errors import Conflict, Invalid
from apps.core.public_ids import number_of, public_id
from apps.deployments.layering.services import (
    Place,
    Reached,
    layer_name,
    reached_by,
    update_layer,
)
from apps.deployments.layering.telling import told_to
from apps.layers.catalogue import settings_on
from apps.layers.models import Layer
from apps.layers.queries import layer_of, layers_above
from apps.layers.resolving import Effective, Said, resolve

router = Router(by_alias=True, exclude_none=True, tags=["Deployment settings"])
ORGANIZATION = "/organizations/{organizationId}/deployment-settings"
CLUSTER = "/organizations/{organizationId}/clusters/{clusterId}/deployment-settings"
WORKSPACE = "/organizations/{organizationId}/workspaces/{workspaceId}/deployment-settings"


class AtOneDeployment(InOrganization):
    deployment_id: str


class LayerShape(Shape):
    """What a layer says: texts by name of the setting, and the names that it locked."""

    layer: str
    settings: dict[str, str]
    locked: list[str]


class SavedLayer(LayerShape):
    """`reachedCount` Deployments are applied again, a few at a time."""

    reached_count: int


class LayerPreviewBody(Shape):
    """All that the layer would say."""

    settings: dict[str, str]
    locked: list[str] = []


class LayerBody(LayerPreviewBody):
    """All that the layer is to say. Without `isApplied` a change that reaches Deployments is
    refused, and the refusal counts them.
    """

    is_applied: bool = False


class ChangedSetting(Shape):
    setting: str
    before: str
    after: str


class ReachedDeployment(Shape):
    deployment_id: str
    deployment_name: str
    changes: list[ChangedSetting]


class LayerPreview(Shape):
    """Whom a change would reach, by name, and what becomes different there. `hidden_count` are
    those that the caller may not see.
    """

    deployments: list[ReachedDeployment]
    hidden_count: int = 0


class SettingShape(Shape):
    name: str
    label: str
    value: str
    origin: str
    origin_name: str = ""
    locked_by: str = ""


class EffectiveSettings(Shape):
    settings: list[SettingShape]


@router.get(
    ORGANIZATION,
    auth=in_organization("organization.clusters.view"),
    response=LayerShape,
    operation_id="GetOrganizationDeploymentSettings",
    summary="Get the Deployment settings of an organization",
)
def get_of_organization(request: Call, at: Path[InOrganization]) -> Any:
    return _layer(request.organization)


@router.post(
    ORGANIZATION,
    auth=in_organization("organization.clusters.manage"),
    response=SavedLayer,
    operation_id="UpdateOrganizationDeploymentSettings",
    openapi_extra={"parameters": [IF_MATCH]},
    summary="Replace the Deployment settings of an organization",
)
def update_of_organization(request: Call, at: Path[InOrganization], body: LayerBody) -> Any:
    return _update(request, request.organization, body)


@router.post(
    f"{ORGANIZATION}/preview",
    auth=in_organization("organization.clusters.manage"),
    response=LayerPreview,
    operation_id="PreviewOrganizationDeploymentSettings",
    summary="Show which Deployments other settings of an organization would reach",
)
def preview_of_organization(request: Call, at: Path[InOrganization], body: LayerPreviewBody) -> Any:
    return _preview(request, request.organization, body)


@router.get(
    CLUSTER,
    auth=in_organization("organization.clusters.view"),
    response=LayerShape,
    operation_id="GetClusterDeploymentSettings",
    summary="Get the Deployment settings of a cluster",
)
def get_of_cluster(request: Call, at: Path[AtCluster]) -> Any:
    return _layer(_cluster(request, at))


@router.post(
    CLUSTER,
    auth=in_organization("organization.clusters.manage"),
    response=SavedLayer,
    operation_id="UpdateClusterDeploymentSettings",
    openapi_extra={"parameters": [IF_MATCH]},
    summary="Replace the Deployment settings of a cluster",
)
def update_of_cluster(request: Call, at: Path[AtCluster], body: LayerBody) -> Any:
    return _update(request, _cluster(request, at), body)


@router.post(
    f"{CLUSTER}/preview",
    auth=in_organization("organization.clusters.manage"),
    response=LayerPreview,
    operation_id="PreviewClusterDeploymentSettings",
    summary="Show which Deployments other settings of a cluster would reach",
)
def preview_of_cluster(request: Call, at: Path[AtCluster], body: LayerPreviewBody) -> Any:
    return _preview(request, _cluster(request, at), body)


@router.get(
    WORKSPACE,
    auth=on_workspace("workspace.view"),
    response=LayerShape,
    operation_id="GetWorkspaceDeploymentSettings",
    summary="Get the Deployment settings of a workspace",
)
def get_of_workspace(request: Call, at: Path[AtWorkspace]) -> Any:
    return _layer(request.found)


@router.post(
    WORKSPACE,
    auth=on_workspace("workspace.update"),
    response=SavedLayer,
    operation_id="UpdateWorkspaceDeploymentSettings",
    openapi_extra={"parameters": [IF_MATCH]},
    summary="Replace the Deployment settings of a workspace",
)
def update_of_workspace(request: Call, at: Path[AtWorkspace], body: LayerBody) -> Any:
    return _update(request, request.found, body)


@router.post(
    f"{WORKSPACE}/preview",
    auth=on_workspace("workspace.update"),
    response=LayerPreview,
    operation_id="PreviewWorkspaceDeploymentSettings",
    summary="Show which Deployments other settings of a workspace would reach",
)
def preview_of_workspace(request: Call, at: Path[AtWorkspace], body: LayerPreviewBody) -> Any:
    return _preview(request, request.found, body)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/settings",
    auth=on_deployment("deployment.view"),
    response=EffectiveSettings,
    operation_id="GetDeploymentSettings",
    summary="Get the settings that hold for a Deployment, and where they come from",
)
def get_of_deployment(request: Call, at: Path[AtOneDeployment]) -> Any:
    deployment = request.found
    said = layers_above(cluster=deployment.cluster, workspace_id=deployment.workspace_id)
    own = deployment.wanted.configuration.own_settings if deployment.wanted else {}
    found = resolve((*said, Said(layer="deployment", values=own)))
    offered = settings_on(is_kubernetes=deployment.cluster.is_kubernetes)
    shapes = [_setting(one.name, one.label, found[one.name]) for one in offered]
    return EffectiveSettings(settings=shapes)


def _layer(place: Place, row: Layer | None = None) -> LayerShape:
    row = row or layer_of(place) or Layer()
    return LayerShape(layer=layer_name(place).upper(), settings=row.values, locked=row.locked)


def _preview(request: Call, place: Place, body: LayerPreviewBody) -> LayerPreview:
    reached = reached_by(place=place, values=body.settings, locked=body.locked)
    told, hidden_count = told_to(user=request.caller.user, place=place, reached=reached)
    return LayerPreview(deployments=[_reached(one) for one in told], hidden_count=hidden_count)


def _reached(one: Reached) -> ReachedDeployment:
    return ReachedDeployment(
        deployment_id=public_id("deployment", one.deployment.pk),
        deployment_name=one.deployment.name,
        changes=[
            ChangedSetting(setting=label, before=before, after=after)
            for label, before, after in one.changes
        ],
    )


def _update(request: Call, place: Place, body: LayerBody) -> SavedLayer:
    row = layer_of(place) or Layer()
    if not is_matched(request, _layer(place, row)):
        raise Conflict("It changed after you read it. Read it again, then repeat your change.")
    try:
        count = update_layer(
            actor=request.caller.user,
            place=place,
            values=body.settings,
            locked=body.locked,
            base=row.version if request.headers.get("If-Match") else None,
            may_apply_again=body.is_applied,
        )
    except Invalid as error:
        if error.field != "apply_again":
            raise
        message = f"{error.message} Send isApplied."
        raise Invalid(message, field="isApplied") from None
    saved = _layer(place)
    return SavedLayer(
        layer=saved.layer,
        settings=saved.settings,
        locked=saved.locked,
        reached_count=count,
    )


def _cluster(request: Call, at: AtCluster) -> Any:
    number = number_of("cluster", at.cluster_id)
    return or_404(clusters_of_caller(request).filter(pk=number).first())


def _setting(name: str, label: str, one: Effective) -> SettingShape:
    return SettingShape(
        name=name,
        label=label,
        value=one.value,
        origin=one.origin.upper(),
        origin_name=one.place,
        locked_by=one.locker,
    )
