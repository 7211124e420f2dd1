"""Invitations that wait for an answer."""

from django.db.models import (
    BooleanField,
    ExpressionWrapper,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce, Now

from apps.access.models import Role
from apps.accounts.models import User
from apps.accounts.queries import digest_of
from apps.organizations.models import (
    Invitation,
    Organization,
    Workspace,
)


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
