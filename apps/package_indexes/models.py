import secrets
from datetime import datetime
from typing import cast

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from apps.core.certificates import ca_ends_at
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace


def new_key() -> str:
    return secrets.token_hex(8)


class PackageIndex(models.Model):
    """A package index that an organization, a workspace or a Deployment names.

    `secret` (sealed) is the password or token; `key` is what it is bound to. `version` goes up with
    each change, so that nothing which was kept of an earlier one is used. `is_only`: it stands in
    for the public index.
    """

    organization = models.ForeignKey(
        Organization,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="package_indexes",
    )
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="package_indexes"
    )
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="package_indexes"
    )
    key = models.CharField(max_length=16, default=new_key, unique=True)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=60)
    url = models.CharField(max_length=500)
    username = models.CharField(max_length=200, blank=True)
    secret = models.BinaryField(null=True, blank=True)
    ca_certificate = models.TextField(blank=True)
    is_only = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(organization__isnull=False, workspace=None, deployment=None)
                | Q(organization=None, workspace__isnull=False, deployment=None)
                | Q(organization=None, workspace=None, deployment__isnull=False),
                name="package_index_is_of_one_object",
            ),
            *(
                models.UniqueConstraint(
                    Lower("name"), place, name=f"package_index_name_unique_in_{place}"
                )
                for place in ("organization", "workspace", "deployment")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> Organization | Workspace | Deployment:
        """What it belongs to."""
        # A constraint of the database: exactly one of them is there.
        return self.organization or self.workspace or cast(Deployment, self.deployment)

    @property
    def ca_expires_at(self) -> datetime | None:
        """When what its server is trusted by ends; None for public authorities."""
        return ca_ends_at(self.ca_certificate)

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"package_indexes.packageindex|{self.key}|{field}"
