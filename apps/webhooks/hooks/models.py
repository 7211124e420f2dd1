from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.alerts.receivers import Receiver
from apps.webhooks.events.topics import Topic


class Webhook(Receiver):
    """An address that events of an organization, or of one of its workspaces, are sent to.

    `sealed` holds the address, the signing secret and, until `former_until`, the one before it.
    `last_sequence` numbers what was dispatched to it.
    """

    host = models.CharField(max_length=253)
    topics = ArrayField(models.CharField(max_length=12, choices=Topic.choices))
    is_enabled = models.BooleanField(default=True)
    sealed = models.BinaryField()
    former_until = models.DateTimeField(null=True, blank=True)
    last_sequence = models.BigIntegerField(default=0)

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"webhooks.webhook|{self.key}|{field}"

    def has_former_secret(self, now: datetime) -> bool:
        """Return whether the secret before the present one signs, too."""
        return self.former_until is not None and now < self.former_until
