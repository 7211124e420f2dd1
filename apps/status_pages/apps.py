from django.apps import AppConfig


class StatusPagesConfig(AppConfig):
    name = "apps.status_pages"
    default_auto_field = "django.db.models.BigAutoField"
