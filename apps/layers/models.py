import hashlib
import json
from typing import Any

from django.db import models
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.layers.resolving import Said
from apps.organizations.models import Organization, Workspace


class Layer(models.Model):
    """What an organization, a cluster or a workspace says about its Deployments; with none of the
    three, what the portal says.

    `values` maps names of the catalogue to texts that its kinds took, `locked` holds the names that
    no layer below may set. It is reached through its place alone.
    """

    organization = models.OneToOneField(
        Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="layer"
    )
    cluster = models.OneToOneField(
        Cluster, null=True, blank=True, on_delete=models.CASCADE, related_name="layer"
    )
    workspace = models.OneToOneField(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="layer"
    )
    values = models.JSONField(default=dict, blank=True)
    locked = models.JSONField(default=list, blank=True)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(organization=None, cluster=None)
                | models.Q(organization=None, workspace=None)
                | models.Q(cluster=None, workspace=None),
                name="layer_of_one_place",
            ),
            models.UniqueConstraint(
                models.Value(1),
                condition=models.Q(organization=None, cluster=None, workspace=None),
                name="one_layer_of_the_portal",
            ),
        ]

    def __str__(self) -> str:
        return f"settings of {self.said.place}"

    @property
    def said(self) -> Said:
        """What this layer says. Needs its place loaded."""
        layer, place = self._place()
        return Said(layer=layer, place=place, values=self.values, locked=frozenset(self.locked))

    @property
    def version(self) -> str:
        """What tells this content from any other."""
        content = json.dumps([self.values, sorted(self.locked)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _place(self) -> tuple[Any, str]:
        if self.workspace is not None:
            return "workspace", self.workspace.name
        if self.cluster is not None:
            return "cluster", self.cluster.name
        if self.organization is not None:
            return "organization", self.organization.name
        return "portal", ""
