from allauth.account.signals import user_logged_in
from django.apps import AppConfig
from django.utils.module_loading import import_string


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Models cannot be imported before.
        theirs = import_string("allauth.usersessions.signals.on_user_logged_in")
        user_logged_in.disconnect(theirs)
        user_logged_in.connect(import_string("apps.accounts.sessions.services.write_down_session"))
        import_string("apps.accounts.sign_in.address_proof.connect")()
