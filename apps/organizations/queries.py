"""Reads that all rooms here share: who is in, and counting."""

from typing import Any

from django.db.models import (
    Count,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce

from apps.accounts.models import User
from apps.organizations.models import (
    Organization,
    OrganizationGrant,
    Workspace,
    WorkspaceGrant,
)


def rows_in(rows: QuerySet[Any], *, by: str) -> Coalesce:
    """Count rows that refer to the outer one through `by`, apart from all other joins."""
    counted = rows.order_by().values(by).annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0)


def members_of(*, organization: Organization) -> QuerySet[User]:
    """Return the people who hold a role on the organization itself. A token is no member."""
    grants = OrganizationGrant.objects.live().of_people().filter(content_object=organization)
    return User.objects.filter(pk__in=grants.values("user"))


def is_member(*, user: User, organization: Organization) -> bool:
    """Return whether a person is a member, as of `members_of`."""
    grants = OrganizationGrant.objects.live().of_people()
    return bool(grants.filter(user=user, content_object=organization).exists())


def has_role_on(*, user: User, workspace: Workspace) -> bool:
    """Return whether a person holds a role on the workspace itself."""
    grants = WorkspaceGrant.objects.live()
    return bool(grants.filter(user=user, content_object=workspace).exists())
