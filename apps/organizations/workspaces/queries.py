"""Organizations and workspaces that a person may see."""

from django.db.models import (
    OuterRef,
    QuerySet,
)

from apps.accounts.models import User
from apps.organizations.models import (
    Organization,
    Workspace,
    WorkspaceGrant,
)
from apps.organizations.queries import rows_in


def workspaces_of(*, organization: Organization, user: User) -> QuerySet[Workspace]:
    """List the workspaces of an organization that a person may see, with `people_count` of those
    who hold a role on the workspace itself.
    """
    grants = WorkspaceGrant.objects.live().of_people().filter(content_object=OuterRef("pk"))
    visible = organization.workspaces.visible_to(user)
    return visible.annotate(people_count=rows_in(grants, by="content_object")).order_by("name")


def workspaces_seen(*, user: User) -> QuerySet[Workspace]:
    """List every workspace a person may see, in all organizations."""
    visible = Workspace.objects.visible_to(user).select_related("organization")
    return visible.order_by("organization__name", "name")


def organizations_of(*, user: User) -> QuerySet[Organization]:
    """List the organizations a person is in."""
    return Organization.objects.visible_to(user).order_by("name")
