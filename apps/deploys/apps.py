from django.apps import AppConfig


class DeploysConfig(AppConfig):
    name = "apps.deploys"
    default_auto_field = "django.db.models.BigAutoField"
