from django.apps import AppConfig
from django.utils.module_loading import import_string


class DeploysConfig(AppConfig):
    name = "apps.deploys"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because they need models, which load after this module.
        import_string("apps.deploys.git.earlier_access.connect")()
        import_string("apps.deploys.promotion.earlier_access.connect")()
        rules = import_string("apps.deployments.editing.code_rights.RULES")
        rules.append(import_string("apps.deploys.deliveries.enforcement.ensure_may_deliver"))
        pulled = import_string("apps.registry.services.PULLED_BESIDES")
        pulled.append(import_string("apps.deploys.promotion.images.repositories_promoted_to"))
        sealed_in = import_string("apps.deployments.secrets.keys.sealed_in")
        columns = import_string("apps.deployments.secrets.keys.SEALED_COLUMNS")
        repository = self.get_model("GitRepository")
        columns.extend(
            sealed_in(repository, field, "key")
            for field in ("secret", "webhook_secret", "state_token")
        )
