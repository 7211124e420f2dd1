from django.apps import AppConfig
from django.utils.module_loading import import_string


class SSOConfig(AppConfig):
    name = "apps.sso"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Single sign-on"

    def ready(self) -> None:
        # The module needs the models, which are not loaded yet when this one is.
        import_string("apps.sso.earlier_access.connect")()
