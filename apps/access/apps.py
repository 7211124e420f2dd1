from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.module_loading import import_string

from apps.access.roles.catalogue import Scope

# Where each scope's roles are held. Strings, so that this app imports none of the tenant apps.
MODELS: dict[Scope, str] = {
    "organization": "organizations.Organization",
    "workspace": "organizations.Workspace",
    "deployment": "deployments.Deployment",
}
TEAM = "organizations.Team"


class AccessConfig(AppConfig):
    name = "apps.access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_sync_roles, sender=self)


def _sync_roles(using: str, **kwargs: Any) -> None:
    if "access_role" not in connections[using].introspection.table_names():
        return  # a partial migrate
    # The module needs the models, which are not loaded yet when this one is.
    sync_built_in_roles = import_string("apps.access.roles.built_in.sync_built_in_roles")
    sync_built_in_roles(
        models_by_scope={scope: installed.get_model(label) for scope, label in MODELS.items()}
    )
