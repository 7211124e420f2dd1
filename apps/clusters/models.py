from typing import ClassVar

from django.db import models
from django.utils import timezone

from apps.access.queries import ScopedQuerySet
from apps.organizations.models import Organization


class Cluster(models.Model):
    """A data plane registered with the portal."""

    class Kind(models.TextChoices):
        LOCAL = "local", "This machine"

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="clusters"
    )
    kind = models.CharField(max_length=20, choices=Kind.choices)
    name = models.CharField(max_length=60)
    created_at = models.DateTimeField(default=timezone.now)

    access_scope = "organization"
    access_paths: ClassVar[dict[str, str]] = {"organization": "organization"}

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], name="cluster_name_unique_in_organization"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def access_parent(self) -> Organization:
        return self.organization
