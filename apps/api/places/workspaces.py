"""Workspaces."""

from datetime import datetime
from typing import Any

from django.db import transaction
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.wire.gates import Call, in_organization, on_workspace
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import NO_ONE, AtWorkspace, InOrganization, Listing, Name, Profile, Shape
from apps.core.public_ids import numbers_of, public_id
from apps.deploys.deliveries.enforcement import default_of, enforced_by_default, set_default
from apps.organizations.models import Workspace
from apps.organizations.workspaces.services import create_workspace, update_workspace
from apps.portal.services import delete_workspace

router = Router(by_alias=True, exclude_none=True, tags=["Workspace"])


class WorkspaceShape(Shape):
    id: str
    name: str
    description: str = ""
    organization_id: str
    organization_name: str
    cicd_enforced_default: bool = False
    created_at: datetime
    updated_at: datetime
    created_by: Profile = NO_ONE
    updated_by: Profile = NO_ONE


class WorkspaceList(Listing):
    workspaces: list[WorkspaceShape]


class WorkspaceQuery(Paging):
    workspace_ids: list[str] = []
    names: list[str] = []


class WorkspaceBody(Shape):
    """What a client sends to create or change a workspace."""

    name: Name = Field(max_length=50)
    description: str = Field(default="", max_length=250)
    cicd_enforced_default: bool | None = None


@router.get(
    "/organizations/{organizationId}/workspaces",
    auth=in_organization(),
    response=WorkspaceList,
    operation_id="ListWorkspaces",
    summary="List workspaces",
)
def list_workspaces(request: Call, at: Path[InOrganization], asked: Query[WorkspaceQuery]) -> Any:
    found = request.organization.workspaces.visible_to(request.caller.user)
    if asked.workspace_ids:
        found = found.filter(pk__in=numbers_of("workspace", asked.workspace_ids))
    if asked.names:
        found = found.filter(name__in=asked.names)
    sorts = {"name": "name", "createdAt": "created_at", "updatedAt": "created_at"}
    page = page_of(found.select_related("organization"), asked, sorts=sorts)
    enforced = enforced_by_default(page.rows)
    rows = [workspace_shape(one, is_enforced=one.pk in enforced) for one in page.rows]
    return WorkspaceList(workspaces=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/workspaces",
    auth=in_organization("organization.workspaces.create"),
    response=WorkspaceShape,
    operation_id="CreateWorkspace",
    summary="Create a workspace",
)
@once
def new_workspace(request: Call, at: Path[InOrganization], body: WorkspaceBody) -> Any:
    actor, is_on = request.caller.user, bool(body.cicd_enforced_default)
    with transaction.atomic():
        made = create_workspace(
            actor=actor,
            organization=request.organization,
            name=body.name.strip(),
            description=body.description,
        )
        set_default(actor=actor, workspace=made, is_on=is_on)
    return workspace_shape(made, is_enforced=is_on)


@router.get(
    "/organizations/{organizationId}/workspaces/{workspaceId}",
    auth=on_workspace("workspace.view"),
    response=WorkspaceShape,
    operation_id="GetWorkspace",
    summary="Get a workspace",
)
def get_workspace(request: Call, at: Path[AtWorkspace]) -> Any:
    return workspace_shape(request.found, is_enforced=default_of(request.found))


@router.post(
    "/organizations/{organizationId}/workspaces/{workspaceId}",
    auth=on_workspace("workspace.update"),
    response=WorkspaceShape,
    operation_id="UpdateWorkspace",
    summary="Change name and description of a workspace",
)
def change_workspace(request: Call, at: Path[AtWorkspace], body: WorkspaceBody) -> Any:
    workspace: Workspace = request.found
    actor, is_on = request.caller.user, body.cicd_enforced_default
    with transaction.atomic():
        update_workspace(
            actor=actor,
            workspace=workspace,
            name=body.name.strip(),
            description=body.description,
        )
        if is_on is not None:
            set_default(actor=actor, workspace=workspace, is_on=is_on)
    return workspace_shape(workspace, is_enforced=default_of(workspace))


@router.delete(
    "/organizations/{organizationId}/workspaces/{workspaceId}",
    auth=on_workspace("workspace.delete"),
    response={204: None},
    operation_id="DeleteWorkspace",
    summary="Delete a workspace that holds no Deployment",
)
def remove_workspace(request: Call, at: Path[AtWorkspace]) -> None:
    workspace: Workspace = request.found
    delete_workspace(actor=request.caller.user, workspace=workspace, typed_name=workspace.name)


def workspace_shape(workspace: Workspace, *, is_enforced: bool) -> WorkspaceShape:
    return WorkspaceShape(
        id=public_id("workspace", workspace.pk),
        name=workspace.name,
        description=workspace.description,
        organization_id=public_id("organization", workspace.organization_id),
        organization_name=workspace.organization.name,
        cicd_enforced_default=is_enforced,
        created_at=workspace.created_at,
        updated_at=workspace.created_at,
    )
