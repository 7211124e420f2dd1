"""Deployments: list, read, create, change and delete."""

from typing import Any

from django.db import transaction
from ninja import Path, Query, Router

from apps.access.scoped import require
from apps.accounts.models import User
from apps.api.deployments import columns
from apps.api.deployments.bodies import (
    DeploymentBody,
    DeploymentChange,
    NewDeployment,
    changed_configuration,
    new_configuration,
    refuse_what_is_not_here,
)
from apps.api.deployments.keys import refuse_misspelt_keys
from apps.api.deployments.shapes import (
    AtDeployment,
    DeploymentList,
    DeploymentShape,
    deployment_shape,
)
from apps.api.hibernation import save_scaling
from apps.api.wire.errors import NotHere, NotOffered
from apps.api.wire.etags import IF_MATCH, is_matched
from apps.api.wire.finding import read_again, visible
from apps.api.wire.gates import DEPLOYMENT_PARTS, Call, Gate, in_organization, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_for
from apps.core.errors import Conflict, Invalid
from apps.core.public_ids import number_of, numbers_of
from apps.deployments.editing.renaming import rename_deployment
from apps.deployments.editing.services import (
    create_deployment,
    delete_deployment,
    update_config,
)
from apps.deployments.models import Deployment, Phase
from apps.deploys.deliveries.enforcement import is_enforced, set_for_deployment
from apps.organizations.models import Workspace

READ = Gate(
    "deployment.view",
    Deployment,
    "deploymentId",
    with_also=DEPLOYMENT_PARTS,
    adding=columns.to_show,
)

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])


class DeploymentQuery(Paging):
    deployment_ids: list[str] = []
    names: list[str] = []
    workspace_ids: list[str] = []


@router.get(
    "/organizations/{organizationId}/deployments",
    auth=in_organization(),
    response=DeploymentList,
    operation_id="ListDeployments",
    summary="List Deployments",
)
def list_deployments(request: Call, at: Path[InOrganization], asked: Query[DeploymentQuery]) -> Any:
    seen = Deployment.objects.visible_to(request.caller.user).exclude(phase=Phase.DELETED)
    found = seen.filter(workspace__organization=request.organization)
    if asked.deployment_ids:
        found = found.filter(pk__in=numbers_of("deployment", asked.deployment_ids))
    if asked.workspace_ids:
        found = found.filter(workspace__in=numbers_of("workspace", asked.workspace_ids))
    if asked.names:
        found = found.filter(name__in=asked.names)
    sorts = {"name": "name", "createdAt": "created_at", "updatedAt": "wanted__created_at"}
    page = page_of(columns.shown(found), asked, sorts=sorts)
    rows = [deployment_shape(one) for one in columns.completed(page.rows)]
    return DeploymentList(deployments=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/deployments",
    auth=in_organization(),
    response=DeploymentShape,
    operation_id="CreateDeployment",
    summary="Create a Deployment",
)
@once
def new_deployment(request: Call, at: Path[InOrganization], body: NewDeployment) -> Any:
    workspace = _workspace(request, body.workspace_id)
    refuse_misspelt_keys(request)
    refuse_what_is_not_here(body)
    cluster = _cluster(workspace, body)
    actor = request.caller.user
    with transaction.atomic():
        operation = create_deployment(
            actor=actor,
            workspace=workspace,
            cluster=cluster,
            name=body.name,
            configuration=new_configuration(
                body, actor=actor, workspace=workspace, cluster=cluster
            ),
        )
        _enforce(actor, operation.deployment, body.is_cicd_enforced)
        _scale(actor, operation.deployment, body)
    return deployment_shape(read_again(operation.deployment))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}",
    auth=READ,
    response=DeploymentShape,
    operation_id="GetDeployment",
    summary="Get a Deployment",
)
def get_deployment(request: Call, at: Path[AtDeployment]) -> Any:
    return deployment_shape(request.found)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}",
    auth=on_deployment("deployment.update"),
    response=DeploymentShape,
    operation_id="UpdateDeployment",
    summary="Change the configuration of a Deployment",
    openapi_extra={"parameters": [IF_MATCH]},
)
def change_deployment(request: Call, at: Path[AtDeployment], body: DeploymentChange) -> Any:
    """Make one revision of all that differs. Two clients that change at a time: the second gets
    409, reads again and repeats. With `If-Match` that holds from the moment of the read on.
    """
    deployment: Deployment = request.found
    if not is_matched(request, deployment_shape(deployment)):
        raise Conflict("It changed after you read it. Read it again, then repeat your change.")
    _refuse_moving(deployment, body)
    refuse_misspelt_keys(request)
    refuse_what_is_not_here(body)
    if deployment.wanted is None:
        raise NotHere
    actor, before = request.caller.user, deployment.wanted.configuration
    with transaction.atomic():
        deployment.name = rename_deployment(actor=actor, deployment=deployment, name=body.name).name
        after = changed_configuration(
            body,
            before=before,
            actor=actor,
            workspace=deployment.workspace,
            cluster=deployment.cluster,
        )
        if after != before:
            update_config(
                actor=actor,
                deployment=deployment,
                configuration=after,
                base_revision_number=deployment.wanted.number,
            )
        _enforce(actor, deployment, body.is_cicd_enforced)
        _scale(actor, deployment, body)
    return deployment_shape(read_again(deployment))


@router.delete(
    "/organizations/{organizationId}/deployments/{deploymentId}",
    auth=on_deployment("deployment.delete"),
    response={204: None},
    operation_id="DeleteDeployment",
    summary="Delete a Deployment",
)
def remove_deployment(request: Call, at: Path[AtDeployment]) -> None:
    deployment: Deployment = request.found
    delete_deployment(actor=request.caller.user, deployment=deployment, typed_name=deployment.name)


def _enforce(actor: User, deployment: Deployment, is_on: bool | None) -> None:
    """Decide for the Deployment alone, where it is to be another than now."""
    if is_on is not None and is_on != is_enforced(deployment):
        set_for_deployment(actor=actor, deployment=deployment, is_on=is_on)


def _scale(actor: User, deployment: Deployment, body: DeploymentBody) -> None:
    save_scaling(
        actor=actor,
        deployment=deployment,
        body=body.scaling_spec,
        is_development=body.is_development_mode,
    )


def _workspace(request: Call, text: str) -> Workspace:
    """Find the workspace of a new Deployment, and check that the caller may create one there."""
    found: Workspace = visible(request, Workspace, text)
    require(user=request.caller.user, permission="workspace.deployments.create", on=found)
    return found


def _cluster(workspace: Workspace, body: NewDeployment) -> Cluster:
    """Find the cluster: the one that is named; else the first of the kind that the type means."""
    usable = list(clusters_for(workspace=workspace))
    if body.cluster_id:
        number = number_of("cluster", body.cluster_id)
        named = [one for one in usable if one.pk == number]
        if not named:
            raise Invalid("This workspace cannot use that cluster.", field="clusterId")
        return named[0]
    is_dedicated = (body.type or "").upper() in ("DEDICATED", "HYBRID")
    of_kind = [one for one in usable if one.is_kubernetes == is_dedicated]
    if not (of_kind or usable):
        raise Invalid("This workspace has no cluster to create Deployments on.", field="clusterId")
    if is_dedicated and len(of_kind) != 1:
        raise Invalid("Name the cluster by its ID.", field="clusterId")
    return (of_kind or usable)[0]


def _refuse_moving(deployment: Deployment, body: DeploymentChange) -> None:
    if body.workspace_id and number_of("workspace", body.workspace_id) != deployment.workspace_id:
        raise NotOffered(
            "An update does not move a Deployment. Transfer it to the workspace first."
        )
    if body.is_dag_deploy_enabled is False:
        raise NotOffered("Deploys of DAGs are always enabled here. Leave the option on.")
