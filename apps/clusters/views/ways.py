"""The ways to connect a cluster, as tabs: each is a page."""

from typing import Any

from django.urls import reverse

from apps.clusters.models import Cluster
from apps.organizations.models import Organization

CLOUDS = (("Amazon EKS", "aws"), ("Azure AKS", "azure"), ("Google GKE", "google"))


def ways_to_connect(
    organization: Organization, *, current: str, cluster: Cluster | None = None
) -> list[dict[str, Any]]:
    """Return tabs for a new cluster, or for another credential of `cluster`."""
    slug = organization.slug
    if cluster is None:
        pasted = reverse("clusters:register", args=[slug])
        clouds = {key: reverse("clusters:find", args=[slug, key]) for _, key in CLOUDS}
    else:
        pasted = reverse("clusters:credential", args=[slug, cluster.pk])
        clouds = {
            key: reverse("clusters:reconnect", args=[slug, cluster.pk, key]) for _, key in CLOUDS
        }
    tabs = [
        ("Kubeconfig", "kubeconfig", pasted),
        ("Address and token", "token", f"{pasted}?by=token"),
        *((label, key, clouds[key]) for label, key in CLOUDS),
    ]
    return [{"label": label, "url": url, "is_current": key == current} for label, key, url in tabs]
