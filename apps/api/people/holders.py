"""What people and Teams hold, and how a complete set of roles that a client sends is carried out.

Clients read all roles, change one, and send all of them back. What a caller cannot see is in
neither, and stays as it is.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import Field

from apps.access.models import Role
from apps.access.scoped import require
from apps.access.scopes import Scoped, grant_model, models_with_roles, team_grant_model
from apps.accounts.models import User
from apps.api.people.roles import role_named, wire_name
from apps.api.wire.errors import or_404
from apps.api.wire.shapes import Shape
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace

# Which role is held on which object, by holder: a person's id, or that of a Team's group.
Held = dict[int, dict[Scoped, Role]]


class WorkspaceRole(Shape):
    workspace_id: str
    role: str


class DeploymentRole(Shape):
    deployment_id: str
    role: str


class HeldRoles(Shape):
    organization_role: str | None = None
    workspace_roles: list[WorkspaceRole] | None = Field(default=None)
    deployment_roles: list[DeploymentRole] | None = Field(default=None)


def held_by_people(people: Iterable[User], *, organization: Organization, seen_by: User) -> Held:
    """Return the own roles of people in an organization, on what the caller sees. A query per kind
    of object.
    """
    return _held(grant_model, "user", [one.pk for one in people], organization, seen_by)


def held_by_teams(groups: Iterable[int], *, organization: Organization, seen_by: User) -> Held:
    """Return the roles of Teams, by the ids of their groups; as `held_by_people` does."""
    return _held(team_grant_model, "group", list(groups), organization, seen_by)


def roles_shape(held: dict[Scoped, Role]) -> dict[str, Any]:
    """Describe what one holder holds, for the shapes of people and Teams. Lists without a role are
    left out: the Terraform provider takes an empty one for a change.
    """
    shape: dict[str, Any] = {}
    for on, role in held.items():
        if isinstance(on, Organization):
            shape["organization_role"] = wire_name(role)
        elif isinstance(on, Workspace):
            place = public_id("workspace", on.pk)
            roles = shape.setdefault("workspace_roles", [])
            roles.append(WorkspaceRole(workspace_id=place, role=wire_name(role)))
        elif isinstance(on, Deployment):
            place = public_id("deployment", on.pk)
            roles = shape.setdefault("deployment_roles", [])
            roles.append(DeploymentRole(deployment_id=place, role=wire_name(role)))
    return shape


def carry_out(
    wanted: HeldRoles,
    *,
    before: dict[Scoped, Role],
    organization: Organization,
    caller: User,
    assign: Callable[[Scoped, Role], None],
    take: Callable[[Scoped], None],
) -> None:
    """Assign and take what differs from `before`, each checked on its own object. Raises NotHere
    for an object that the caller cannot see, PermissionMissing, and as the services do.

    A list that is left out stays as it is; an empty one takes all roles of its kind.
    """
    after = dict(_wanted(wanted, organization, caller))
    for on in [*before]:
        is_listed = _list_of(wanted, on) is not None
        if on not in after and is_listed:
            require(user=caller, permission=_managing(on), on=on)
            take(on)
    for on, role in after.items():
        if before.get(on) != role:
            require(user=caller, permission=_managing(on), on=on)
            assign(on, role)


def _wanted(
    wanted: HeldRoles, organization: Organization, caller: User
) -> Iterator[tuple[Scoped, Role]]:
    if wanted.organization_role:
        role = role_named(wanted.organization_role, on=organization, field="organizationRole")
        yield organization, role
    for one in wanted.workspace_roles or []:
        yield _at(Workspace, one.workspace_id, one.role, organization, caller)
    for other in wanted.deployment_roles or []:
        yield _at(Deployment, other.deployment_id, other.role, organization, caller)


def _at(
    model: Any, text: str, name: str, organization: Organization, caller: User
) -> tuple[Scoped, Role]:
    path = model.access_paths["organization"]
    above = [one for one in model.access_paths.values() if one]
    seen = model.objects.visible_to(caller).filter(**{path: organization}).select_related(*above)
    on = or_404(seen.filter(pk=number_of(model.access_scope, text)).first())
    return on, role_named(name, on=on)


def _managing(on: Scoped) -> str:
    return f"{type(on).access_scope}.members.manage"


def _list_of(wanted: HeldRoles, on: Scoped) -> Any:
    if isinstance(on, Organization):
        return None
    return wanted.workspace_roles if isinstance(on, Workspace) else wanted.deployment_roles


def _held(
    table: Callable[[type[Any]], Any],
    holder: str,
    ids: list[int],
    organization: Organization,
    seen_by: User,
) -> Held:
    held: Held = {number: {} for number in ids}
    for model in models_with_roles():
        path = model.access_paths["organization"]
        grants = table(model).objects.live().filter(**{f"{holder}__in": ids})
        if path:
            seen = model.objects.visible_to(seen_by).filter(**{path: organization})
            grants = grants.filter(content_object__in=seen)
        else:
            grants = grants.filter(content_object=organization)
        above = [f"content_object__{one}" for one in model.access_paths.values() if one]
        for one in grants.select_related("permission__role", "content_object", *above):
            held[getattr(one, f"{holder}_id")][one.content_object] = one.role
    return held
