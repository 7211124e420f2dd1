from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from apps.accounts.models import OutgoingMail


class PageBackend(BaseEmailBackend):
    """Stores mail for the operator's outbox page, on an installation without a mail server."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        rows = [
            OutgoingMail(
                to=", ".join(message.recipients()),
                subject=str(message.subject)[:255],
                body=str(message.body),
            )
            for message in email_messages
        ]
        return len(OutgoingMail.objects.bulk_create(rows))
