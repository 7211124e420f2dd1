"""Where a new Deployment is to run: the part of its form that all other choices depend on."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from apps.clusters.models import Cluster
from apps.clusters.queries import state_of

ONE_MACHINE = "One machine, without isolation between Deployments"


def chosen_cluster(request: HttpRequest, clusters: Sequence[Cluster]) -> Cluster | None:
    """Return the cluster that was chosen in the form, or named in the address."""
    named = request.POST.get("cluster", request.GET.get("cluster", ""))
    return next((cluster for cluster in clusters if str(cluster.pk) == named), None)


def is_for_another(data: Mapping[str, str], cluster: Cluster) -> bool:
    """Return whether the form was shown with the choices of another cluster."""
    return data.get("shown_for") != str(cluster.pk)


def cluster_rows(clusters: Sequence[Cluster]) -> list[dict[str, Any]]:
    """Return the clusters to choose from as the page shows them."""
    now = timezone.now()
    return [
        {
            "cluster": cluster,
            "state": state_of(cluster, now=now),
            "kind": f"Kubernetes {cluster.version}".strip()
            if cluster.is_kubernetes
            else ONE_MACHINE,
        }
        for cluster in clusters
    ]
