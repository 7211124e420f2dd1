"""Who is in an organization or workspace."""

from typing import Any

from django.db.models import (
    Q,
    QuerySet,
)

from apps.access.scopes import Scoped, grant_model
from apps.accounts.models import User
from apps.organizations.models import (
    Organization,
    OrganizationGrant,
    Workspace,
)

MOST_OWNERS = 5


def grants_on(*, on: Scoped, search: str = "") -> QuerySet[Any]:
    """List the live grants on an organization or workspace with person and role, by name.

    `search` keeps people whose name or address contains it.
    """
    grants = grant_model(type(on)).objects.live().of_people().filter(content_object=on)
    if search:
        grants = grants.filter(Q(user__name__icontains=search) | Q(user__email__icontains=search))
    grants = grants.select_related("user", "permission__role", "granted_by")
    # The model is found by type, so its query set is not known.
    return grants.order_by("user__name", "user__email")  # type: ignore[no-any-return]


def owners_of(*, organizations: QuerySet[Organization]) -> list[User]:
    """List the active owners of the organizations, by name: whom to ask for access."""
    grants = (
        OrganizationGrant.objects.live()
        .of_people()
        .filter(
            content_object__in=organizations, permission__role__key="owner", user__is_active=True
        )
    )
    people = User.objects.filter(pk__in=grants.values("user"))
    return list(people.order_by("name", "email")[:MOST_OWNERS])


def people_from_above(*, workspace: Workspace) -> list[Any]:
    """List grants on the organization that reach into the workspace, by name of the person."""
    grants = grants_on(on=workspace.organization).filter(user__is_active=True)
    return list(grants.filter(permission__role__permissions__contains=["workspace.view"]))
