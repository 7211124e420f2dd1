from django.apps import AppConfig
from django.utils.module_loading import import_string


class OrganizationsConfig(AppConfig):
    name = "apps.organizations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # The module needs the models, which are not loaded yet when this one is.
        import_string("apps.organizations.members.two_factor_events.connect")()
        import_string("apps.organizations.tokens.earlier_access.connect")()
