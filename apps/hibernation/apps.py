from django.apps import AppConfig
from django.utils.module_loading import import_string


class HibernationConfig(AppConfig):
    name = "apps.hibernation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # By name, because they need models, which load after this module.
        listeners = import_string("apps.deployments.editing.plans.TURN_LISTENERS")
        listeners.append(import_string("apps.hibernation.recording.note_turn"))
