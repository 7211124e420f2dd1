import uuid

from django.db import models
from django.utils import timezone


class RegistryKey(models.Model):
    """A key that signs tokens for the registry, and the certificate that the registry knows it by.

    One of them is current. The next waits until the registry has its certificate.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    private_key = models.BinaryField()
    certificate = models.TextField()
    is_current = models.BooleanField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["is_current"], name="one_registry_key_current_one_next")
        ]

    def __str__(self) -> str:
        return f"registry key {self.id}"

    @property
    def identity(self) -> str:
        return f"registry.registrykey|{self.id}|private_key"
