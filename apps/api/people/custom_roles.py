"""Custom roles: create, change and delete; and what there is to build them of."""

from typing import Any

from ninja import Path, Query
from pydantic import Field

from apps.access.models import Role
from apps.access.queries import permissions_held
from apps.access.roles.catalogue import PERMISSIONS, SCOPES, grouped, permissions_of_scope
from apps.api.people.roles import (
    AtRole,
    DefaultRole,
    RoleShape,
    default_roles,
    role_shape,
    wire_name,
)
from apps.api.people.roles import router as router
from apps.api.wire.errors import NotOffered, or_404
from apps.api.wire.forms import check, fields_named
from apps.api.wire.gates import ANY_TOKEN, Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.shapes import InOrganization, Name, Shape
from apps.core.errors import Invalid
from apps.core.public_ids import number_of
from apps.organizations.roles.forms import CustomRoleForm
from apps.organizations.roles.queries import replacements_for
from apps.organizations.roles.services import create_role, delete_role, update_role

MANAGE = "organization.roles.manage"
FIELDS = {"workspaces": "restrictedWorkspaceIds", "is_limited": "restrictedWorkspaceIds"}


class RoleBody(Shape):
    """What a client sends to create or change a role. Seeing the object is always included. With
    workspaces it can be held in these alone.
    """

    name: Name = Field(max_length=80)
    description: str = Field(default="", max_length=250)
    permissions: list[str]
    restricted_workspace_ids: list[str] | None = None


class NewRole(RoleBody):
    scope_type: str


class RoleDeletion(Shape):
    """`insteadRole` is what its holders get; needed where it is held."""

    instead_role: str = ""


class PermissionEntry(Shape):
    action: str
    description: str


class PermissionGroup(Shape):
    name: str
    description: str
    scope: str
    permissions: list[PermissionEntry]


class ScopeQuery(Shape):
    scope_type: str = ""


class ScopesQuery(Shape):
    scope_types: list[str] = []


@router.post(
    "/organizations/{organizationId}/roles",
    auth=in_organization(MANAGE),
    response=RoleShape,
    operation_id="CreateCustomRole",
    summary="Create a custom role",
)
@once
def new_role(request: Call, at: Path[InOrganization], body: NewRole) -> Any:
    """With permissions that the caller has in all of the organization."""
    form = _judged(request, _scope(body.scope_type), body)
    with fields_named(FIELDS):
        role = create_role(
            actor=request.caller.user,
            organization=request.organization,
            scope=form.scope,
            **form.cleaned_data,
        )
    return role_shape(role)


@router.post(
    "/organizations/{organizationId}/roles/{roleId}",
    auth=in_organization(MANAGE),
    response=RoleShape,
    operation_id="UpdateCustomRole",
    summary="Change a custom role. What its holders may do changes at once",
)
def change_role(request: Call, at: Path[AtRole], body: RoleBody) -> Any:
    role = _found(request, at.role_id)
    form = _judged(request, role.scope, body)
    with fields_named(FIELDS):
        update_role(actor=request.caller.user, role=role, **form.cleaned_data)
    return role_shape(role)


@router.delete(
    "/organizations/{organizationId}/roles/{roleId}",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="DeleteCustomRole",
    summary="Delete a custom role",
)
def remove_role(request: Call, at: Path[AtRole], asked: Query[RoleDeletion]) -> None:
    """409 where it is held and no `insteadRole` is named."""
    role = _found(request, at.role_id)
    instead = _instead(request, role, asked.instead_role) if asked.instead_role else None
    delete_role(actor=request.caller.user, role=role, instead=instead)


@router.get(
    "/organizations/{organizationId}/role-templates",
    auth=in_organization(),
    response=list[DefaultRole],
    operation_id="ListRoleTemplates",
    summary="List the built-in roles, to begin a custom one with",
)
def list_templates(request: Call, at: Path[InOrganization], asked: Query[ScopesQuery]) -> Any:
    return default_roles([one.lower() for one in asked.scope_types])


@router.get(
    "/authorization/permission-groups",
    auth=ANY_TOKEN,
    response=list[PermissionGroup],
    operation_id="ListPermissionGroups",
    summary="List the permissions of which roles are made",
)
def list_permissions(request: Call, asked: Query[ScopeQuery]) -> Any:
    wanted = [_scope(asked.scope_type)] if asked.scope_type else list(SCOPES)
    return [
        PermissionGroup(
            name=title,
            description=title,
            scope=scope.upper(),
            permissions=[
                PermissionEntry(action=one, description=PERMISSIONS[one]) for one in permissions
            ],
        )
        for scope in wanted
        for title, permissions in grouped(
            one for one in PERMISSIONS if one.startswith(f"{scope}.")
        ).items()
    ]


def _scope(text: str) -> Any:
    if text.upper() == "DAG":
        raise NotOffered("Roles on single DAGs are not offered. Send DEPLOYMENT.")
    if text.lower() not in SCOPES:
        known = ", ".join(one.upper() for one in SCOPES)
        raise Invalid(f"Choose one of {known}.", field="scopeType")
    return text.lower()


def _judged(request: Call, scope: Any, body: RoleBody) -> CustomRoleForm:
    """Fill the form of the page with what a client sent. Raises Invalid, FieldsInvalid."""
    unknown = next((one for one in body.permissions if one not in PERMISSIONS), "")
    if unknown:
        raise Invalid(
            f"There is no permission {unknown[:80]}. GET /authorization/permission-groups lists "
            "all.",
            field="permissions",
        )
    held = permissions_held(user=request.caller.user, on=request.organization)
    texts = body.restricted_workspace_ids or []
    form = CustomRoleForm(
        {
            "name": body.name,
            "description": body.description,
            "permissions": [one for one in body.permissions if one != f"{scope}.view"],
            "is_limited": bool(texts),
            # The form refuses 0, which no workspace has.
            "workspaces": [number_of("workspace", one) for one in texts],
        },
        scope=scope,
        allowed=held & permissions_of_scope(scope),
        workspaces=request.organization.workspaces.order_by("name"),
    )
    check(form, FIELDS)
    return form


def _instead(request: Call, role: Role, name: str) -> Role:
    known = replacements_for(role=role, organization=request.organization, user=request.caller.user)
    for one in known:
        if name in (wire_name(one), one.name) or number_of("role", name) == one.pk:
            return one
    names = ", ".join(wire_name(one) for one in known)
    raise Invalid(f"Choose one of {names}.", field="insteadRole")


def _found(request: Call, text: str) -> Role:
    found = Role.objects.filter(organization=request.organization, pk=number_of("role", text))
    return or_404(found.first())
