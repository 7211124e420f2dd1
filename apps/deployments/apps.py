from django.apps import AppConfig
from django.core.checks import Tags, register
from django.utils.module_loading import import_string


class DeploymentsConfig(AppConfig):
    name = "apps.deployments"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because it needs models, which load after this module.
        register(import_string("apps.deployments.checks.check_keys"), Tags.database)
