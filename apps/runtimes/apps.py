from django.apps import AppConfig


class RuntimesConfig(AppConfig):
    name = "apps.runtimes"
    default_auto_field = "django.db.models.BigAutoField"
