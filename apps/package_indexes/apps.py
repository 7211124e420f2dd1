from django.apps import AppConfig
from django.utils.module_loading import import_string


class PackageIndexesConfig(AppConfig):
    name = "apps.package_indexes"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because they need models, which load after this module.
        sealed_in = import_string("apps.deployments.secrets.keys.sealed_in")
        columns = import_string("apps.deployments.secrets.keys.SEALED_COLUMNS")
        columns.append(sealed_in(self.get_model("PackageIndex"), "secret", "key"))
        queries = import_string("apps.deployments.reconciling.compiler.PACKAGE_INDEXES")
        queries.append(import_string("apps.package_indexes.queries.package_indexes"))
