"""What the pages of a cluster share: finding it, its head and its tabs."""

from typing import Any

from django.http import HttpRequest, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from apps.access.queries import denial_for
from apps.clusters.models import Cluster
from apps.clusters.queries import state_of
from apps.organizations.models import Organization

MANAGE = "organization.clusters.manage"
TABS = (
    ("Overview", "cluster"),
    ("Settings", "settings"),
    ("Workspaces", "workspaces"),
    ("Credential", "credential"),
)
TABS_OF_THIS_MACHINE = ("cluster", "workspaces")


def posted(request: HttpRequest) -> QueryDict | None:
    """Return what was posted, even if it is empty: the form is then bound and validated."""
    return request.POST if request.method == "POST" else None


def cluster_called(organization: Organization, cluster_id: int) -> Cluster:
    """Return a cluster of the organization; 404 for a removed one."""
    there = Cluster.objects.there().select_related("organization")
    return get_object_or_404(there, organization=organization, pk=cluster_id)


def kubernetes_called(organization: Organization, cluster_id: int) -> Cluster:
    """Return a Kubernetes cluster of the organization: this machine has no credential to change."""
    there = Cluster.objects.there().filter(kind=Cluster.Kind.KUBERNETES)
    found = there.select_related("organization")
    return get_object_or_404(found, organization=organization, pk=cluster_id)


def page_of(request: HttpRequest, cluster: Cluster, *, tab: str) -> dict[str, Any]:
    """Return what the head of every page of a cluster needs."""
    slug = cluster.organization.slug
    shown = [one for one in TABS if cluster.is_kubernetes or one[1] in TABS_OF_THIS_MACHINE]
    return {
        "organization": cluster.organization,
        "cluster": cluster,
        "state": state_of(cluster, now=timezone.now()),
        "denial": denial_for(user=request.user, permission=MANAGE, on=cluster.organization),
        "tabs": [
            {
                "label": label,
                "url": reverse(f"clusters:{name}", args=[slug, cluster.pk]),
                "is_current": name == tab,
            }
            for label, name in shown
        ],
        "crumbs": [
            {
                "label": cluster.organization.name,
                "url": reverse("portal:organization", args=[slug]),
            },
            {"label": "Clusters", "url": reverse("clusters:list", args=[slug])},
            {"label": cluster.name, "url": reverse("clusters:cluster", args=[slug, cluster.pk])},
        ],
    }
