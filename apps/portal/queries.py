"""Reads that span the apps: the organization's overview and search."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Organization, OrganizationGrant, Workspace

MOST_HITS = 20


def overview_of(*, organization: Organization, user: User) -> dict[str, Any]:
    """Gather what the overview of an organization shows to this person."""
    is_there = ~Q(deployments__phase=Phase.DELETED)
    workspaces = organization.workspaces.visible_to(user).annotate(
        deployment_count=Count("deployments", filter=is_there, distinct=True),
        people_count=Count("grants", distinct=True),
    )
    people = OrganizationGrant.objects.live().filter(content_object=organization)
    return {
        "workspaces": workspaces.order_by("name"),
        "people_count": people.values("user").distinct().count(),
        "clusters": Cluster.objects.filter(organization=organization).order_by("name"),
    }


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
    grants = OrganizationGrant.objects.live().filter(content_object__in=seen)
    named = Q(user__name__icontains=text) | Q(user__email__icontains=text)
    rows = grants.filter(named).select_related("user", "content_object", "permission__role")
    return list(rows.order_by("user__name", "user__email")[:MOST_HITS])
