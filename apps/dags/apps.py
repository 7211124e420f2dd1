from django.apps import AppConfig


class DagsConfig(AppConfig):
    name = "apps.dags"
    default_auto_field = "django.db.models.BigAutoField"
