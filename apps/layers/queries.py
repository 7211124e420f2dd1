"""The layers above a Deployment."""

from typing import Any

from django.db.models import Q

from apps.clusters.models import Cluster
from apps.layers.models import Layer
from apps.layers.resolving import Said
from apps.organizations.models import Organization, Workspace

PORTAL = Q(organization=None, cluster=None, workspace=None)


def layers_above(*, cluster: Cluster, workspace_id: int) -> tuple[Said, ...]:
    """Return what portal, organization, cluster and workspace say. One query."""
    found = PORTAL | Q(organization=cluster.organization_id)
    found |= Q(cluster=cluster.pk) | Q(workspace=workspace_id)
    rows = Layer.objects.filter(found).select_related("organization", "cluster", "workspace")
    return tuple(row.said for row in rows)


def layer_of(place: Organization | Cluster | Workspace | None) -> Layer | None:
    """Return the layer of a place, None where it says nothing; without a place the portal's."""
    return Layer.objects.filter(**keys_of(place)).first()


def keys_of(place: Organization | Cluster | Workspace | None) -> dict[str, Any]:
    """Return the columns that tell the layer of a place from all others."""
    none: dict[str, Any] = {"organization": None, "cluster": None, "workspace": None}
    if place is None:
        return none
    return none | {type(place).__name__.lower(): place}


def layers_over(place: Organization | Cluster | Workspace | None) -> tuple[Said, ...]:
    """Return what the layers above that of a place say, as far as they are the same for all below
    it: those of a workspace lie on several clusters.
    """
    if place is None:
        return ()
    found = PORTAL
    if not isinstance(place, Organization):
        found |= Q(organization=place.organization_id)
    rows = Layer.objects.filter(found).select_related("organization", "cluster", "workspace")
    return tuple(row.said for row in rows)
