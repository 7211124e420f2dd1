from django.apps import AppConfig
from django.utils.module_loading import import_string


class UpgradesConfig(AppConfig):
    name = "apps.upgrades"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because it needs models, which load after this module.
        import_string("apps.upgrades.earlier_access.connect")()
