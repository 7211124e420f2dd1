from django.apps import AppConfig
from django.utils.module_loading import import_string


class BackupsConfig(AppConfig):
    name = "apps.backups"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because they need models, which load after this module.
        import_string("apps.backups.earlier_access.connect")()
        sealed_in = import_string("apps.deployments.secrets.keys.sealed_in")
        sources = import_string("apps.deployments.reconciling.compiler.RESTORE_SOURCES")
        sources[""] = import_string("apps.backups.keeping.restore_sources.restore_source")
        columns = import_string("apps.deployments.secrets.keys.SEALED_COLUMNS")
        columns.append(sealed_in(self.get_model("Backup"), "sealed"))
