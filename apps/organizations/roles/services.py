"""Custom roles of an organization: named sets of permissions, held as built-in roles are.

Editing one changes what its holders may do at once and rewrites no grant. So an actor can only add
or remove permissions that they hold themselves.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps as installed
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from apps.access.apps import MODELS
from apps.access.grants.audit_labels import record_on
from apps.access.grants.expiry import delete_expired
from apps.access.grants.services import (
    RightsExceeded,
    ensure_can_delegate,
    grant,
    lock_memberships,
)
from apps.access.grants.team_grants import grant_to_team
from apps.access.models import Role
from apps.access.queries import forget_permissions, permissions_held
from apps.access.roles.catalogue import (
    BUILT_IN_ROLES,
    SCOPE_WORDS,
    Scope,
    missing_prerequisites,
    permissions_of_scope,
    prerequisites_in_words,
)
from apps.accounts.models import User
from apps.core.errors import Invalid, Refused
from apps.organizations.models import Organization, Workspace
from apps.organizations.roles.queries import grants_giving, invitations_offering, tables_with

NAMED = 5


class RoleHeld(Refused):
    """A held role cannot be deleted, or limited to other workspaces, without a replacement."""


class PrerequisiteMissing(Invalid):
    """A permission is of no use without another, so a role holds both or neither."""

    def __init__(self, missing: list[tuple[str, str]]) -> None:
        super().__init__(prerequisites_in_words(missing), field="permissions")


@transaction.atomic
def create_role(
    *,
    actor: User,
    organization: Organization,
    scope: Scope,
    name: str,
    description: str,
    permissions: Iterable[str],
    is_limited: bool,
    workspaces: Sequence[Workspace],
) -> Role:
    """Make a custom role. It always holds `<scope>.view`: who has a role on something sees it.

    Raises Invalid when the name is taken, PrerequisiteMissing when a permission stands without what
    it needs, RightsExceeded when the role holds what the actor does not.
    """
    lock_memberships(on=organization)
    name = _free_name(organization, scope, name)
    chosen = _checked(actor, organization, scope, permissions)
    _refuse_incomplete(scope, chosen)
    key = f"custom-{secrets.token_hex(8)}"
    model = installed.get_model(MODELS[scope])
    role = Role.objects.create(
        organization=organization,
        scope=scope,
        key=key,
        name=name,
        description=description,
        permissions=sorted(chosen),
        is_limited=is_limited,
        permission=Permission.objects.create(
            content_type=ContentType.objects.get_for_model(model),
            codename=f"role:{scope}:{key}",
            name=name,
        ),
    )
    role.workspaces.set(_own(organization, workspaces) if is_limited else [])
    changes = {"permissions": [None, ", ".join(role.permissions)], "limit": [None, _limit(role)]}
    _record("role.created", actor, role, changes)
    return role


@transaction.atomic
def update_role(
    *,
    actor: User,
    role: Role,
    name: str,
    description: str,
    permissions: Iterable[str],
    is_limited: bool,
    workspaces: Sequence[Workspace],
) -> None:
    """Change a custom role; what its holders may do changes at once.

    Raises as `create_role` does, RightsExceeded for what the role held before, too, and RoleHeld
    when it is held in a workspace that it would not be for any more.
    """
    organization = _organization(role)
    lock_memberships(on=organization)
    name = _free_name(organization, role.scope, name, but=role)
    _checked(actor, organization, role.scope, role.permissions)
    chosen = _checked(actor, organization, role.scope, permissions)
    _refuse_incomplete(role.scope, chosen)
    before = (role.name, ", ".join(role.permissions), _limit(role))
    role.name, role.description, role.permissions = name, description, sorted(chosen)
    role.is_limited = is_limited
    role.save(update_fields=["name", "description", "permissions", "is_limited"])
    role.workspaces.set(_own(organization, workspaces) if is_limited else [])
    _refuse_held_elsewhere(role)
    after = (role.name, ", ".join(role.permissions), _limit(role))
    fields = zip(("name", "permissions", "limit"), before, after, strict=True)
    changes = {field: [old, new] for field, old, new in fields if old != new}
    _record("role.updated", actor, role, changes)
    forget_permissions(actor)


@transaction.atomic
def delete_role(*, actor: User, role: Role, instead: Role | None = None) -> None:
    """Delete a custom role. Its holders, and people invited to it, get `instead`.

    Raises RoleHeld when it is held and there is no `instead`, RightsExceeded when the actor may not
    assign or revoke one of the two.
    """
    organization = _organization(role)
    lock_memberships(on=organization)
    _checked(actor, organization, role.scope, role.permissions)
    people, teams = grants_giving(role=role)
    invitations = invitations_offering(role=role)
    if instead is None and (people.exists() or teams.exists() or invitations.exists()):
        raise RoleHeld(f"{role} is assigned or offered. Select a replacement role.")
    if instead is not None:
        # Grant tables have this field.
        for one in people.live():  # type: ignore[attr-defined]
            grant(
                actor=actor,
                user=one.user,
                role=instead,
                on=one.content_object,
                expires_at=one.expires_at,
            )
        for one in teams.live():  # type: ignore[attr-defined]  # scopes are checked; grants have it
            grant_to_team(
                actor=actor,
                team=one.group.team,
                role=instead,
                on=one.content_object,
                expires_at=one.expires_at,
            )
        for invitation in invitations:
            # What it offers is assigned in the name of who invited, who may hold more.
            is_wide = role.scope == "organization" or invitation.workspace is None
            on = organization if is_wide else invitation.workspace
            ensure_can_delegate(actor=actor, role=instead, on=on or organization)
            setattr(invitation, f"{role.scope}_role", instead.key)
            invitation.save(update_fields=[f"{role.scope}_role"])
    for grants in tables_with(role=role):
        delete_expired(grants)
    _record("role.deleted", actor, role, {"permissions": [", ".join(role.permissions), None]})
    permission = role.permission
    role.delete()
    permission.delete()


def _checked(
    actor: User, organization: Organization, scope: str, permissions: Iterable[str]
) -> frozenset[str]:
    chosen = frozenset(permissions) | {f"{scope}.view"}
    # The URL pattern allows the three scopes only.
    if chosen - permissions_of_scope(scope):  # type: ignore[arg-type]
        raise Invalid(
            f"A {SCOPE_WORDS[scope]} role cannot have these permissions.", field="permissions"
        )
    # Rights may have changed while this waited for the lock.
    forget_permissions(actor)
    if chosen - permissions_held(user=actor, on=organization):
        raise RightsExceeded(
            f"You can only use permissions that you have yourself in all of {organization}."
        )
    return chosen


def _refuse_incomplete(scope: str, chosen: frozenset[str]) -> None:
    # The address allows the three scopes alone.
    missing = missing_prerequisites(chosen, scope)  # type: ignore[arg-type]
    if missing:
        raise PrerequisiteMissing(missing)


def _own(organization: Organization, workspaces: Sequence[Workspace]) -> list[Workspace]:
    if any(workspace.organization_id != organization.pk for workspace in workspaces):
        raise Invalid("This workspace belongs to another organization.", field="workspaces")
    return list(workspaces)


def _refuse_held_elsewhere(role: Role) -> None:
    if not role.is_limited:
        return
    # The scope is one of the three.
    model: Any = installed.get_model(MODELS[role.scope])  # type: ignore[index]
    path = model.access_paths["workspace"]
    where = f"content_object__{path}__in" if path else "content_object__in"
    inside = {where: role.workspaces.all()}
    people, teams = grants_giving(role=role)
    names = [
        *(f"{one.user} on {one.content_object}" for one in people.exclude(**inside)[:NAMED]),
        *(f"{one.group.team} on {one.content_object}" for one in teams.exclude(**inside)[:NAMED]),
    ]
    names += [
        f"{one.email}, invited to {one.workspace}"
        for one in invitations_offering(role=role).exclude(workspace__in=role.workspaces.all())
    ]
    if names:
        raise RoleHeld(
            f"{role} is assigned outside these workspaces: {', '.join(names[:NAMED])}. "
            "Assign another role there first."
        )


def _free_name(
    organization: Organization, scope: str, name: str, *, but: Role | None = None
) -> str:
    name = " ".join(name.split())
    others = organization.custom_roles.filter(scope=scope, name__iexact=name)
    if but is not None:
        others = others.exclude(pk=but.pk)
    built_in = {role.name.lower() for role in BUILT_IN_ROLES}
    if others.exists() or name.lower() in built_in:
        raise Invalid(f"A {SCOPE_WORDS[scope]} role called {name} already exists.", field="name")
    return name


def _organization(role: Role) -> Organization:
    if role.organization is None:
        raise Refused("Built-in roles cannot be changed. Create a custom role that starts from it.")
    return role.organization


def _limit(role: Role) -> str:
    if not role.is_limited:
        return "everywhere"
    names = role.workspaces.order_by("name").values_list("name", flat=True)
    return f"only in {', '.join(names)}"


def _record(action: str, actor: User, role: Role, changes: dict[str, Any]) -> None:
    named = {f"role {role.name}, {field}": change for field, change in changes.items()}
    record_on(action=action, actor=actor, on=_organization(role), changes=named)
