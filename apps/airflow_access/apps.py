from django.apps import AppConfig


class AirflowAccessConfig(AppConfig):
    name = "apps.airflow_access"
    default_auto_field = "django.db.models.BigAutoField"
