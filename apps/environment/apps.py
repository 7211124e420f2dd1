from django.apps import AppConfig
from django.utils.module_loading import import_string


class EnvironmentConfig(AppConfig):
    name = "apps.environment"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because they need models, which load after this module.
        import_string("apps.environment.delivery.effective.connect")()
        sealed_in = import_string("apps.deployments.secrets.keys.sealed_in")
        columns = import_string("apps.deployments.secrets.keys.SEALED_COLUMNS")
        for model in ("EnvironmentObject", "EnvironmentLink"):
            columns.append(sealed_in(self.get_model(model), "sealed", "key"))
