"""Roles of members, and their removal. Every write is audited."""

from datetime import datetime

from django.db import transaction

from apps.access.grants.services import (
    cap_expiry,
    grant_with_entry,
    lock_memberships,
    revoke_everywhere,
)
from apps.access.models import Role
from apps.access.queries import forget_permissions
from apps.access.scopes import Scoped, organization_over
from apps.accounts.models import User
from apps.accounts.sessions.services import end_sessions
from apps.core.errors import Invalid
from apps.organizations.models import Organization, OrganizationGrant
from apps.organizations.teams.services import leave_teams


@transaction.atomic
def assign_role(
    *, actor: User, user: User, role: Role, on: Scoped, expires_at: datetime | None = None
) -> None:
    """Assign a member of the organization a role on a workspace, a Deployment or the organization,
    until `expires_at` or without an expiry.

    Replaces the role held there, and assigns the least role above where there is none. No role
    outlasts the role on the organization. Raises Invalid for people of other organizations,
    RightsExceeded, LastOwner and RoleNotApplicable.
    """
    organization = organization_over(on)
    lock_memberships(on=organization)
    # Rights may have changed while this waited for the lock.
    forget_permissions(actor)
    entries = OrganizationGrant.objects.live().filter(user=user, content_object=organization)
    entry = entries.first()
    if entry is None:
        raise Invalid(
            f"{user.email} is not a member of {organization}. Invite them first.", field="email"
        )
    if on == organization:
        if expires_at is not None:
            cap_expiry(actor=actor, user=user, within=organization, expires_at=expires_at)
    else:
        ends = [at for at in (expires_at, entry.expires_at) if at is not None]
        expires_at = min(ends, default=None)
    grant_with_entry(actor=actor, user=user, role=role, on=on, expires_at=expires_at)


@transaction.atomic
def remove_person(*, actor: User, user: User, on: Scoped) -> None:
    """Remove a person from a workspace or the organization, with every role on what lies below, and
    from the Teams of the organization.

    A person removed from an organization by someone else is signed out, too. Raises RightsExceeded
    and LastOwner.
    """
    revoke_everywhere(actor=actor, user=user, on=on)
    if isinstance(on, Organization):
        leave_teams(actor=actor, user=user, organization=on)
        if actor != user:
            end_sessions(user=user)
