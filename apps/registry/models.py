import uuid

from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment


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


class PushedImage(models.Model):
    """An image in the repository of a Deployment, by the digest of its manifest, that nothing names
    since `unused_since`. `removal_error` is why the registry has it all the same.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=80)
    unused_since = models.DateTimeField()
    removal_error = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "digest"], name="pushed_image_once")
        ]

    def __str__(self) -> str:
        return self.digest
