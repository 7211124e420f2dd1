"""Reads about one workspace or organization that span the apps. Those of Home are in `home`,
those of search in `search`.
"""

from django.db.models import QuerySet

from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Organization, OrganizationGrant, Workspace


def people_in(*, organization: Organization) -> int:
    """Count the people who hold a role on an organization."""
    people = OrganizationGrant.objects.live().of_people().filter(content_object=organization)
    return people.values("user").distinct().count()


def deployments_in(*, workspace: Workspace) -> QuerySet[Deployment]:
    """List the Deployments of a workspace that are not deleted, by name."""
    there = Deployment.objects.exclude(phase=Phase.DELETED).filter(workspace=workspace)
    return there.order_by("name")
