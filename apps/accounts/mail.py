import logging
from collections.abc import Sequence
from threading import Thread

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from apps.accounts.models import OutgoingMail

logger = logging.getLogger(__name__)
OUTBOX = "apps.accounts.mail.PageBackend"


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


def sends_mail() -> bool:
    """Return whether mail leaves this installation: only then is a link in it for its reader alone.

    Without a mail server it waits in the outbox, for the operator to hand on.
    """
    return bool(settings.EMAIL_BACKEND != OUTBOX)


def deliver(message: EmailMessage) -> None:
    """Send a message without waiting for the mail server.

    Its response time would tell known addresses from unknown ones. A job would leave the link in
    the broker.
    """
    if not settings.EMAIL_HOST:
        message.send()
        return
    Thread(target=_send, args=(message,), name="mail").start()


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except OSError:
        logger.exception("mail not sent")
