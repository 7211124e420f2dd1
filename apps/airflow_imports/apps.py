from django.apps import AppConfig
from django.utils.module_loading import import_string


class AirflowImportsConfig(AppConfig):
    name = "apps.airflow_imports"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because they need models, which load after this module.
        import_string("apps.airflow_imports.earlier_access.connect")()
        sources = import_string("apps.deployments.reconciling.compiler.RESTORE_SOURCES")
        sources["imports"] = import_string("apps.airflow_imports.work.sending.restore_source")
        sealed_in = import_string("apps.deployments.secrets.keys.sealed_in")
        columns = import_string("apps.deployments.secrets.keys.SEALED_COLUMNS")
        columns.append(sealed_in(self.get_model("AirflowImport"), "sealed"))
