import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.organizations.models import Organization


class Receiver(models.Model):
    """Where an organization's measurements go. `host` may be shown; `sealed` may not: address, user
    and password or token, as JSON.

    `sent_until` is the slot of samples up to which everything went or was given up, None before the
    first time. A turn takes the row by moving `next_at` first.
    """

    organization = models.OneToOneField(
        Organization, primary_key=True, on_delete=models.CASCADE, related_name="receiver"
    )
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    host = models.CharField(max_length=253)
    user = models.CharField(max_length=200, blank=True)
    sealed = models.BinaryField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    sent_until = models.BigIntegerField(null=True, blank=True)
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    n_samples = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.host

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"observability.receiver|{self.key}|{field}"
