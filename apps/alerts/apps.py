from django.apps import AppConfig
from django.utils.module_loading import import_string


class AlertsConfig(AppConfig):
    name = "apps.alerts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because they need models, which load after this module.
        import_string("apps.alerts.channels.earlier_access.connect")()
        import_string("apps.alerts.evaluation.upcoming.connect")()
        sealed_in = import_string("apps.deployments.secrets.keys.sealed_in")
        columns = import_string("apps.deployments.secrets.keys.SEALED_COLUMNS")
        columns.append(sealed_in(self.get_model("Channel"), "sealed", "key"))
