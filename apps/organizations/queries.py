"""Reads about organizations, their workspaces, people and invitations."""

from typing import Any

from django.db.models import (
    BooleanField,
    Count,
    ExpressionWrapper,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce, Now

from apps.access.models import Role
from apps.access.scopes import Scoped, grant_model
from apps.accounts.models import User
from apps.accounts.queries import digest_of
from apps.organizations.models import (
    Invitation,
    Organization,
    OrganizationGrant,
    Workspace,
    WorkspaceGrant,
)

MOST_OWNERS = 5


def is_member(*, user: User, organization: Organization) -> bool:
    """Return whether a person holds a role on the organization itself. A token is no member."""
    grants = OrganizationGrant.objects.live().of_people()
    return bool(grants.filter(user=user, content_object=organization).exists())


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


def workspaces_of(*, organization: Organization, user: User) -> QuerySet[Workspace]:
    """List the workspaces of an organization that a person may see, with `people_count` of those
    who hold a role on the workspace itself.
    """
    grants = WorkspaceGrant.objects.live().of_people().filter(content_object=OuterRef("pk"))
    visible = organization.workspaces.visible_to(user)
    return visible.annotate(people_count=rows_in(grants, by="content_object")).order_by("name")


def rows_in(rows: QuerySet[Any], *, by: str) -> Coalesce:
    """Count rows that refer to the outer one through `by`, apart from all other joins."""
    counted = rows.order_by().values(by).annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0)


def workspaces_seen(*, user: User) -> QuerySet[Workspace]:
    """List every workspace a person may see, in all organizations."""
    visible = Workspace.objects.visible_to(user).select_related("organization")
    return visible.order_by("organization__name", "name")


def open_invitations(
    *, organization: Organization, seen_by: User, search: str = ""
) -> QuerySet[Invitation]:
    """List invitations that wait for an answer, expired ones included, newest first.

    Left out are those to workspaces that the reader may not see. `search` keeps addresses that
    contain it. Each has `role_name`, the narrowest role it offers, and `has_expired`.
    """
    waiting = Invitation.objects.filter(
        Q(workspace=None) | Q(workspace__in=Workspace.objects.visible_to(seen_by)),
        organization=organization,
        accepted_at=None,
        revoked_at=None,
        email__icontains=search,
    )
    in_workspace = Role.objects.filter(scope="workspace", key=OuterRef("workspace_role"))
    in_organization = Role.objects.filter(scope="organization", key=OuterRef("organization_role"))
    annotated = waiting.annotate(
        role_name=Coalesce(
            Subquery(in_workspace.values("name")), Subquery(in_organization.values("name"))
        ),
        has_expired=ExpressionWrapper(Q(expires_at__lte=Now()), output_field=BooleanField()),
    )
    return annotated.select_related("workspace", "invited_by").order_by("-created_at")


def usable_invitation(*, token: str) -> Invitation | None:
    """Find the invitation behind a token, unless it was accepted, withdrawn or has expired."""
    waiting = Invitation.objects.filter(
        accepted_at=None, revoked_at=None, expires_at__gt=Now(), token_digest=digest_of(token)
    )
    return waiting.select_related("organization", "workspace", "invited_by").first()


def organizations_of(*, user: User) -> QuerySet[Organization]:
    """List the organizations a person is in."""
    return Organization.objects.visible_to(user).order_by("name")


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


def has_role_on(*, user: User, workspace: Workspace) -> bool:
    """Return whether a person holds a role on the workspace itself."""
    grants = WorkspaceGrant.objects.live()
    return bool(grants.filter(user=user, content_object=workspace).exists())


def people_from_above(*, workspace: Workspace) -> list[Any]:
    """List grants on the organization that reach into the workspace, by name of the person."""
    grants = grants_on(on=workspace.organization).filter(user__is_active=True)
    return list(grants.filter(permission__role__permissions__contains=["workspace.view"]))
