"""How pages lay out the permissions of roles, and the templates of custom roles."""

from typing import Any

from apps.access.models import Role
from apps.access.roles.catalogue import (
    BUILT_IN_ROLES,
    PERMISSIONS,
    Scope,
    grouped,
    permissions_of_scope,
)

# Templates of custom roles: the part of a built-in role that the scope can hold.
TEMPLATES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "organization": (("Member", "organization", "member"), ("Owner", "organization", "owner")),
    "workspace": (
        ("Viewer", "workspace", "member"),
        ("Author", "workspace", "author"),
        ("Operator", "workspace", "operator"),
    ),
    "deployment": (
        ("Viewer", "deployment", "viewer"),
        ("Author", "deployment", "author"),
        ("Operator", "workspace", "operator"),
    ),
}


def permissions_of_template(scope: str, begin_with: str) -> list[str]:
    """Return the permissions that a template gives a role of the scope; none if it is unknown."""
    found = {label: (of_scope, key) for label, of_scope, key in TEMPLATES[scope]}
    if begin_with not in found:
        return []
    of_scope, key = found[begin_with]
    template = Role.objects.get(organization=None, scope=of_scope, key=key)
    # The URL pattern allows the three scopes only.
    return sorted(permissions_of_scope(scope).intersection(template.permissions))  # type: ignore[arg-type]


def worded(permissions: list[str]) -> list[dict[str, Any]]:
    """Arrange the permissions of a role under titles, in words."""
    return [
        {"title": title, "actions": [PERMISSIONS[one] for one in of_group]}
        for title, of_group in grouped(permissions).items()
    ]


def table_of(scope: Scope, ids: dict[tuple[str, str], int]) -> dict[str, Any]:
    """Lay out what each role of a scope may do; below an organization only its owner has any."""
    roles = [role for role in BUILT_IN_ROLES if role.scope == scope]
    shown = [
        (key, action)
        for key, action in PERMISSIONS.items()
        if any(key in role.permissions for role in roles)
        and (scope != "organization" or key.startswith("organization."))
    ]
    columns = [
        {
            "id": ids[role.scope, role.key],
            "label": _short(role.name),
            "description": role.description,
        }
        for role in roles
    ]
    rows = [
        {
            "action": action,
            "cells": [
                {"role": _short(role.name), "allowed": key in role.permissions} for role in roles
            ],
        }
        for key, action in shown
    ]
    return {"scope": scope, "columns": columns, "rows": rows}


def _short(name: str) -> str:
    """Leave out the scope, which stands above the table: "Workspace Owner" is "Owner"."""
    return name.partition(" ")[2]
