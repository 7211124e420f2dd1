from django.apps import AppConfig


class LayersConfig(AppConfig):
    name = "apps.layers"
    default_auto_field = "django.db.models.BigAutoField"
