import secrets
from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.core.certificates import ca_ends_at
from apps.organizations.models import Organization


def new_key() -> str:
    return secrets.token_hex(8)


class ObjectStore(models.Model):
    """A bucket, and what an organization uses it for.

    `prefix` is empty or ends with a slash. `secret` (sealed) is the secret access key, bound to
    `key`. With another bucket a new row begins; the old one is `retired_at` then, and stays as long
    as backups or imports lie there.
    """

    class Use(models.TextChoices):
        BACKUPS = "backups", "Backups"
        STATUS_PAGE = "status-page", "Status page"

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="object_stores"
    )
    key = models.CharField(max_length=16, default=new_key, unique=True, editable=False)
    use = models.CharField(max_length=12, choices=Use.choices)
    endpoint = models.CharField(max_length=300)
    bucket = models.CharField(max_length=63)
    prefix = models.CharField(max_length=200, blank=True)
    region = models.CharField(max_length=40)
    is_path_style = models.BooleanField(default=True)
    access_key_id = models.CharField(max_length=128)
    secret = models.BinaryField()
    ca_certificate = models.TextField(blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "use"],
                condition=models.Q(retired_at=None),
                name="one_object_store_for_each_use",
            )
        ]

    def __str__(self) -> str:
        return f"{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def place(self) -> tuple[str, str, str]:
        """What another value of means other objects."""
        return (self.endpoint, self.bucket, self.prefix)

    @property
    def ca_expires_at(self) -> datetime | None:
        """When what its server is trusted by ends; None for public authorities."""
        return ca_ends_at(self.ca_certificate)

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"object_stores.objectstore|{self.key}|{field}"


class UnwantedObject(models.Model):
    """An object in a bucket that no row names any more. `removal` deletes it."""

    store = models.ForeignKey(
        ObjectStore, on_delete=models.CASCADE, related_name="unwanted_objects"
    )
    key = models.CharField(max_length=1024)
    since = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.key
