from django.apps import AppConfig
from django.utils.module_loading import import_string


class RegistryConfig(AppConfig):
    name = "apps.registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        columns = import_string("apps.deployments.secrets.keys.SEALED_COLUMNS")
        columns.append(import_string("apps.registry.signing.SEALED_KEY"))
