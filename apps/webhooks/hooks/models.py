import uuid
from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.alerts.places import Placed
from apps.webhooks.events.topics import Topic


class Webhook(Placed):
    """An address that events of an organization, or of one of its workspaces, are sent to.

    `sealed` holds the address, the signing secret and, until `former_until`, the one before it.
    `last_sequence` numbers what was dispatched to it.

    The sender takes a webhook as a whole: `claimed_until` is the lease of the one that sends, and
    `next_at` is when one that failed is tried again.
    """

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=80)
    host = models.CharField(max_length=253)
    topics = ArrayField(models.CharField(max_length=12, choices=Topic.choices))
    is_enabled = models.BooleanField(default=True)
    sealed = models.BinaryField()
    former_until = models.DateTimeField(null=True, blank=True)
    last_sequence = models.BigIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    claimed_until = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "organization",
                "workspace",
                name="webhook_name_unique_in_place",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.name

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"webhooks.webhook|{self.key}|{field}"

    def has_former_secret(self, now: datetime) -> bool:
        """Return whether the secret before the present one signs, too."""
        return self.former_until is not None and now < self.former_until
