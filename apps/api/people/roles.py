"""Roles on the wire: built-in ones as ORGANIZATION_OWNER, WORKSPACE_AUTHOR or DEPLOYMENT_ADMIN,
custom ones by their names.
"""

from datetime import UTC, datetime
from typing import Any

from ninja import Path, Query, Router

from apps.access.models import Role
from apps.access.queries import roles_for
from apps.access.roles.catalogue import BUILT_IN_ROLES
from apps.access.scopes import Scoped
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import NO_ONE, InOrganization, Listing, Profile, Shape
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, public_id

router = Router(by_alias=True, exclude_none=True, tags=["Role"])
UNKNOWN = datetime.fromtimestamp(0, UTC)


class AtRole(InOrganization):
    role_id: str


class DefaultRole(Shape):
    name: str
    description: str
    scope_type: str
    permissions: list[str]


class RoleShape(DefaultRole):
    id: str
    restricted_workspace_ids: list[str]
    # Not kept here; clients expect times.
    created_at: datetime = UNKNOWN
    updated_at: datetime = UNKNOWN
    created_by: Profile = NO_ONE
    updated_by: Profile = NO_ONE


class RoleList(Listing):
    roles: list[RoleShape]
    default_roles: list[DefaultRole]


class RoleQuery(Paging):
    include_default_roles: bool = False
    scope_types: list[str] = []


@router.get(
    "/organizations/{organizationId}/roles",
    auth=in_organization(),
    response=RoleList,
    operation_id="ListRoles",
    summary="List custom roles, and the built-in ones if asked for",
)
def list_roles(request: Call, at: Path[InOrganization], asked: Query[RoleQuery]) -> Any:
    scopes = [one.lower() for one in asked.scope_types]
    found = Role.objects.filter(organization=request.organization)
    if scopes:
        found = found.filter(scope__in=scopes)
    page = page_of(found.prefetch_related("workspaces"), asked, sorts={"name": "name"})
    return RoleList(
        roles=[role_shape(one) for one in page.rows],
        default_roles=default_roles(scopes) if asked.include_default_roles else [],
        **page.numbers(asked),
    )


@router.get(
    "/organizations/{organizationId}/roles/{roleId}",
    auth=in_organization(),
    response=RoleShape,
    operation_id="GetCustomRole",
    summary="Get a custom role",
)
def get_role(request: Call, at: Path[AtRole]) -> Any:
    found = Role.objects.filter(organization=request.organization, pk=number_of("role", at.role_id))
    role = or_404(found.prefetch_related("workspaces").first())
    return role_shape(role)


def wire_name(role: Role) -> str:
    """Return how clients name a role."""
    if role.organization_id is not None:
        return role.name
    return f"{role.scope}_{role.key}".upper().replace("-", "_")


def role_named(text: str, *, on: Scoped, field: str = "role") -> Role:
    """Find the role that a client names, among those that can be held on an object. Raises Invalid
    with the names that there are.
    """
    known = roles_for(on=on)
    number = number_of("role", text)
    for role in known:
        if text in (wire_name(role), role.name) or number == role.pk:
            return role
    names = ", ".join(wire_name(role) for role in known)
    raise Invalid(f"There is no role {text[:80]} here. Choose one of {names}.", field=field)


def default_roles(scopes: list[str]) -> list[DefaultRole]:
    """Describe the built-in roles of some scopes, of all where none is named."""
    return [
        DefaultRole(
            name=f"{one.scope}_{one.key}".upper().replace("-", "_"),
            description=one.description,
            scope_type=one.scope.upper(),
            permissions=sorted(one.permissions),
        )
        for one in BUILT_IN_ROLES
        if not scopes or one.scope in scopes
    ]


def role_shape(role: Role) -> RoleShape:
    """Describe a custom role."""
    return RoleShape(
        id=public_id("role", role.pk),
        name=role.name,
        description=role.description,
        scope_type=role.scope.upper(),
        permissions=list(role.permissions),
        restricted_workspace_ids=[
            public_id("workspace", one.pk) for one in role.workspaces.all() if role.is_limited
        ],
    )
