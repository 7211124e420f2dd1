"""The rows of built-in roles, made and kept up after each migration."""

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

from apps.access.models import Role
from apps.access.roles.catalogue import BUILT_IN_ROLES, BuiltInRole


def sync_built_in_roles(*, models_by_scope: dict[str, Any]) -> None:
    """Make the rows of built-in roles agree with the catalogue. Safe to repeat."""
    for built_in in BUILT_IN_ROLES:
        _sync_role(built_in, models_by_scope[built_in.scope])


def _sync_role(built_in: BuiltInRole, model: Any) -> None:
    content_type = ContentType.objects.get_for_model(model)
    permission, _ = Permission.objects.get_or_create(
        content_type=content_type,
        codename=f"role:{built_in.scope}:{built_in.key}",
        defaults={"name": built_in.name},
    )
    Role.objects.update_or_create(
        scope=built_in.scope,
        key=built_in.key,
        defaults={
            "name": built_in.name,
            "description": built_in.description,
            "rank": built_in.rank,
            "permissions": sorted(built_in.permissions),
            "permission": permission,
        },
    )
