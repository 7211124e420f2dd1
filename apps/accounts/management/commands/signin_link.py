from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from apps.accounts.queries import has_operator, person_with_email
from apps.accounts.services import issue_sign_in_link


class Command(BaseCommand):
    # `migrate` has run them; they import every view.
    requires_system_checks: list[str] = []
    help = (
        "Print a one-time sign-in link, valid for 24 hours. Without --email: the link that sets up "
        "a new installation, or nothing if it already has an administrator."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", help="sign in as this person, for users who are locked out")
        parser.add_argument(
            "--bypass-single-sign-on",
            action="store_true",
            help="let the link work although the person's domain enforces single sign-on",
        )

    def handle(
        self,
        *args: Any,
        email: str | None = None,
        bypass_single_sign_on: bool = False,
        **options: Any,
    ) -> None:
        user = None
        if email:
            user = person_with_email(email=email)
            if user is None or not user.is_active:
                raise CommandError(f"No active account has the address {email}.")
        elif has_operator():
            return
        token = issue_sign_in_link(user=user, bypasses_single_sign_on=bypass_single_sign_on)
        self.stdout.write(settings.PORTAL_URL + reverse("portal:setup", args=[token]))
