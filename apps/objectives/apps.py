from django.apps import AppConfig


class ObjectivesConfig(AppConfig):
    name = "apps.objectives"
    default_auto_field = "django.db.models.BigAutoField"
