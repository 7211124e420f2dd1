from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

MODELS_BY_SCOPE = {
    "organization": "organizations.Organization",
    "workspace": "organizations.Workspace",
    "deployment": "deployments.Deployment",
}


class AccessConfig(AppConfig):
    name = "apps.access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(sync_roles, sender=apps.get_app_config("deployments"))


def sync_roles(**_: Any) -> None:
    """Roles are granted on models of apps above this one, so they are named, not imported, once all exist."""
    from apps.access.services import sync_built_in_roles  # noqa: PLC0415 - models load after app configs

    sync_built_in_roles(
        models_by_scope={scope: apps.get_model(label) for scope, label in MODELS_BY_SCOPE.items()}
    )
