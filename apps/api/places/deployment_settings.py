"""What organizations, clusters and workspaces say about the settings of their Deployments, and what
holds for one of them.
"""

from typing import Any

from ninja import Path, Router

from apps.api.places.clusters import AtCluster, clusters_of_caller
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization, on_deployment, on_workspace
from apps.api.wire.shapes import AtWorkspace, InOrganization, Shape
from apps.core.errors import Invalid
from apps.core.public_ids import number_of
from apps.deployments.layering.services import Place, layer_name, update_layer
from apps.layers.catalogue import settings_on
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


class LayerBody(Shape):
    """All that the layer is to say. Without `isApplied` a change that reaches Deployments is
    refused, and the refusal counts them.
    """

    settings: dict[str, str]
    locked: list[str] = []
    is_applied: bool = False


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
    summary="Replace the Deployment settings of an organization",
)
def update_of_organization(request: Call, at: Path[InOrganization], body: LayerBody) -> Any:
    return _update(request, request.organization, body)


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
    summary="Replace the Deployment settings of a cluster",
)
def update_of_cluster(request: Call, at: Path[AtCluster], body: LayerBody) -> Any:
    return _update(request, _cluster(request, at), body)


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
    summary="Replace the Deployment settings of a workspace",
)
def update_of_workspace(request: Call, at: Path[AtWorkspace], body: LayerBody) -> Any:
    return _update(request, request.found, body)


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


def _layer(place: Place) -> LayerShape:
    row = layer_of(place)
    return LayerShape(
        layer=layer_name(place).upper(),
        settings=row.values if row else {},
        locked=row.locked if row else [],
    )


def _update(request: Call, place: Place, body: LayerBody) -> SavedLayer:
    try:
        count = update_layer(
            actor=request.caller.user,
            place=place,
            values=body.settings,
            locked=body.locked,
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
