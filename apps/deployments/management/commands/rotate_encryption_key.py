from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.encryption.crypto import SecretUnreadable
from apps.deployments.secrets.keys import rewrap_all


class Command(BaseCommand):
    help = "Seal all secrets with the current key of the ring. Safe to repeat and to interrupt."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            n_rewrapped = rewrap_all()
        except SecretUnreadable as error:
            raise CommandError(f"{error} Restore it, then run this again.") from error
        self.stdout.write(f"{n_rewrapped} secrets are now encrypted with the current key.")
