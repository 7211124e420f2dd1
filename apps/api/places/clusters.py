"""Clusters, as far as a caller may use them."""

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from ninja import Path, Query, Router

from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Shape
from apps.clusters.models import Cluster
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment
from apps.organizations.models import Workspace

router = Router(by_alias=True, exclude_none=True, tags=["Cluster"])


class AtCluster(InOrganization):
    cluster_id: str


class NodePool(Shape):
    id: str


class ClusterShape(Shape):
    id: str
    name: str
    organization_id: str
    type: str = "DEDICATED"
    status: str
    cloud_provider: str
    region: str
    db_instance_type: str = ""
    dr_region: str = ""
    is_dr_enabled: bool = False
    is_limited: bool
    node_pools: list[NodePool] = []
    vpc_subnet_range: str = ""
    workspace_ids: list[str]
    created_at: datetime
    updated_at: datetime


class ClusterList(Listing):
    clusters: list[ClusterShape]


class ClusterQuery(Paging):
    names: list[str] = []


@router.get(
    "/organizations/{organizationId}/clusters",
    auth=in_organization(),
    response=ClusterList,
    operation_id="ListClusters",
    summary="List clusters",
)
def list_clusters(request: Call, at: Path[InOrganization], asked: Query[ClusterQuery]) -> Any:
    found = clusters_of_caller(request)
    if asked.names:
        found = found.filter(name__in=asked.names)
    page = page_of(found, asked, sorts={"name": "name", "createdAt": "created_at"})
    rows = [cluster_shape(one) for one in page.rows]
    return ClusterList(clusters=rows, **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/clusters/{clusterId}",
    auth=in_organization(),
    response=ClusterShape,
    operation_id="GetCluster",
    summary="Get a cluster",
)
def get_cluster(request: Call, at: Path[AtCluster]) -> Any:
    found = or_404(
        clusters_of_caller(request).filter(pk=number_of("cluster", at.cluster_id)).first()
    )
    return cluster_shape(found)


def clusters_of_caller(request: Call) -> QuerySet[Cluster]:
    """List the clusters that a caller may see: all of the organization, or those that a workspace
    which the caller sees may use, and those that run a Deployment which the caller sees.
    """
    organization, user = request.organization, request.caller.user
    there = Cluster.objects.there().filter(organization=organization)
    if not user.has_perm("organization.clusters.view", organization):
        workspaces = Workspace.objects.visible_to(user).filter(organization=organization)
        running = Deployment.objects.visible_to(user).values("cluster")
        usable = Q(workspaces__in=workspaces) | Q(pk__in=running)
        if workspaces.exists():
            usable |= Q(is_for_all_workspaces=True)
        there = there.filter(usable).distinct()
    return there.prefetch_related("workspaces")


def cluster_shape(cluster: Cluster) -> ClusterShape:
    limited = [] if cluster.is_for_all_workspaces else list(cluster.workspaces.all())
    return ClusterShape(
        id=public_id("cluster", cluster.pk),
        name=cluster.name,
        organization_id=public_id("organization", cluster.organization_id),
        status="ACCESS_DENIED" if cluster.unreachable_since else "CREATED",
        cloud_provider=cluster.provider,
        region=cluster.region,
        is_limited=not cluster.is_for_all_workspaces,
        workspace_ids=[public_id("workspace", one.pk) for one in limited],
        created_at=cluster.created_at,
        updated_at=cluster.created_at,
    )
