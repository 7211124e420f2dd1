from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.deployments.secrets.keys import key_problems


class Command(BaseCommand):
    # `migrate` has run them; they import every view.
    requires_system_checks: list[str] = []
    help = "Refuse, with a message, when the key ring does not open what the database holds."

    def handle(self, *args: Any, **options: Any) -> None:
        problems = key_problems()
        if problems:
            raise CommandError("\n".join(problems))
