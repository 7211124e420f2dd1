"""What channels and webhooks are alike in: a name in a place, and the state of sending to them."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.alerts.places import Placed


class Receiver(Placed):
    """A row that an outbox sends to.

    The outbox takes it as a whole: `claimed_until` is the lease of the one that sends, and
    `next_at` is when one that failed is tried again.
    """

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=80)
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
        abstract = True
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "organization",
                "workspace",
                name="%(class)s_name_unique_in_place",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.name
