"""Reads about Teams."""

from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.access.scopes import Scoped, team_grant_model
from apps.accounts.models import User
from apps.organizations.models import (
    Organization,
    OrganizationGrant,
    OrganizationTeamGrant,
    Team,
    WorkspaceTeamGrant,
)
from apps.organizations.queries import rows_in


def teams_of(*, organization: Organization, search: str = "") -> QuerySet[Team]:
    """List the Teams of an organization by name, with `people_count` of members, `role_name` of the
    role held on the organization itself, and `workspace_count` of workspaces on which they hold a
    role. `search` is part of a name or description.
    """
    teams = organization.teams.all()
    if search:
        teams = teams.filter(Q(name__icontains=search) | Q(description__icontains=search))
    through = User.groups.through.objects.filter(group=OuterRef("group"))
    own = OrganizationTeamGrant.objects.live().filter(
        group=OuterRef("group"), content_object=organization
    )
    spaces = WorkspaceTeamGrant.objects.live().filter(group=OuterRef("group"))
    return teams.annotate(
        people_count=rows_in(through, by="group"),
        role_name=Subquery(own.values("permission__role__name")[:1]),
        workspace_count=rows_in(spaces, by="group"),
    ).order_by("name")


def people_in(*, team: Team, search: str = "") -> QuerySet[User]:
    """List the members of a Team who are in the organization now, by name. The others get no
    permissions through it.
    """
    entries = OrganizationGrant.objects.live().filter(content_object=team.organization)
    people = User.objects.filter(groups=team.group, pk__in=entries.values("user"))
    if search:
        people = people.filter(Q(name__icontains=search) | Q(email__icontains=search))
    return people.order_by("name", "email")


def team_grants_on(*, on: Scoped) -> QuerySet[Any]:
    """List the live roles of Teams on the object itself, by name of the Team."""
    grants = team_grant_model(type(on)).objects.live().filter(content_object=on)
    grants = grants.select_related("group__team", "permission__role", "granted_by")
    # The model is found by type, so its query set is not known.
    return grants.order_by("group__team__name")  # type: ignore[no-any-return]
