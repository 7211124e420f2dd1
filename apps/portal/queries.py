"""Reads that span the apps: the organization's overview and search."""

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Q, QuerySet

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Organization, OrganizationGrant, Workspace
from apps.organizations.queries import rows_in, workspaces_of

MOST_HITS = 20
MOST_WORKSPACES = 20


def overview_of(*, organization: Organization, user: User) -> dict[str, Any]:
    """Gather what the overview of an organization shows to this person: the first workspaces by
    name, and how many there are.
    """
    there = Deployment.objects.exclude(phase=Phase.DELETED).filter(workspace=OuterRef("pk"))
    workspaces = workspaces_of(organization=organization, user=user).annotate(
        deployment_count=rows_in(there, by="workspace")
    )
    people = OrganizationGrant.objects.live().of_people().filter(content_object=organization)
    return {
        "workspaces": workspaces[:MOST_WORKSPACES],
        "workspace_count": workspaces.count(),
        "people_count": people.values("user").distinct().count(),
        "clusters": Cluster.objects.there().filter(organization=organization).order_by("name"),
    }


def deployments_in(*, workspace: Workspace) -> QuerySet[Deployment]:
    """List the Deployments of a workspace that are not deleted, by name."""
    there = Deployment.objects.exclude(phase=Phase.DELETED).filter(workspace=workspace)
    return there.order_by("name")


@dataclass(frozen=True)
class Hits:
    """What a search found, at most `MOST_HITS` of each kind."""

    deployments: QuerySet[Deployment]
    workspaces: QuerySet[Workspace]
    people: list[OrganizationGrant]


def search(*, text: str, user: User) -> Hits:
    """Find Deployments, workspaces and people by part of a name, among what the person may see."""
    deployments = Deployment.objects.visible_to(user).exclude(phase=Phase.DELETED)
    found = Q(name__icontains=text) | Q(ref__icontains=text) | Q(description__icontains=text)
    workspaces = Workspace.objects.visible_to(user).filter(
        Q(name__icontains=text) | Q(description__icontains=text)
    )
    return Hits(
        deployments=deployments.filter(found)
        .select_related("workspace__organization")
        .order_by("name")[:MOST_HITS],
        workspaces=workspaces.select_related("organization").order_by("name")[:MOST_HITS],
        people=_people(text, user),
    )


def _people(text: str, user: User) -> list[OrganizationGrant]:
    seen = Organization.objects.allowing(user, "organization.members.view")
    grants = OrganizationGrant.objects.live().of_people().filter(content_object__in=seen)
    named = Q(user__name__icontains=text) | Q(user__email__icontains=text)
    rows = grants.filter(named).select_related("user", "content_object", "permission__role")
    return list(rows.order_by("user__name", "user__email")[:MOST_HITS])
