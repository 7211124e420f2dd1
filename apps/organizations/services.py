"""Organizations, workspaces, and who has which role in them. Every write is audited."""

import secrets
from datetime import datetime

from django.db import transaction
from django.utils.text import slugify

from apps.access.audit_labels import record_on
from apps.access.expiry import cap_expiry
from apps.access.models import Role
from apps.access.scopes import Scoped, organization_over
from apps.access.services import grant, grant_with_entry, lock_memberships, revoke_everywhere
from apps.accounts.models import User
from apps.accounts.sessions.services import end_sessions
from apps.core.errors import Invalid
from apps.organizations.models import Organization, OrganizationGrant, Workspace
from apps.organizations.teams.services import leave_teams

LONGEST_SLUG = 50


@transaction.atomic
def create_organization(*, owner: User, name: str) -> Organization:
    """Make an organization whose first owner is the given person."""
    organization = Organization.objects.create(name=name, slug=_free_slug(Organization, name))
    changes = {"name": [None, name]}
    record_on(action="organization.created", actor=owner, on=organization, changes=changes)
    grant(
        actor=None,
        user=owner,
        role=Role.objects.get(scope="organization", key="owner"),
        on=organization,
    )
    return organization


@transaction.atomic
def update_organization(*, actor: User, organization: Organization, name: str) -> None:
    """Rename an organization. Its address stays, so that links keep working."""
    if name == organization.name:
        return
    changes = {"name": [organization.name, name]}
    organization.name = name
    organization.save(update_fields=["name"])
    record_on(action="organization.updated", actor=actor, on=organization, changes=changes)


@transaction.atomic
def create_workspace(
    *, actor: User, organization: Organization, name: str, description: str = ""
) -> Workspace:
    """Make a workspace. Raises Invalid when the name is taken in the organization."""
    _refuse_taken_name(organization, name)
    workspace = Workspace.objects.create(
        organization=organization,
        name=name,
        slug=_free_slug(Workspace, name),
        description=description,
    )
    changes = {"name": [None, name]}
    record_on(action="workspace.created", actor=actor, on=workspace, changes=changes)
    return workspace


@transaction.atomic
def update_workspace(*, actor: User, workspace: Workspace, name: str, description: str) -> None:
    """Change name and description; the address stays. Raises Invalid when the name is taken."""
    _refuse_taken_name(workspace.organization, name, but=workspace)
    changes = {}
    for field, after in (("name", name), ("description", description)):
        before = getattr(workspace, field)
        if before != after:
            changes[field] = [before, after]
            setattr(workspace, field, after)
    if changes:
        workspace.save(update_fields=list(changes))
        record_on(action="workspace.updated", actor=actor, on=workspace, changes=changes)


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


def _refuse_taken_name(
    organization: Organization, name: str, *, but: Workspace | None = None
) -> None:
    # The lock makes two requests for the same name wait for each other.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    others = organization.workspaces.filter(name__iexact=name)
    if but is not None:
        others = others.exclude(pk=but.pk)
    if others.exists():
        raise Invalid(f"{organization} already has a workspace called {name}.", field="name")


def _free_slug(model: type[Organization] | type[Workspace], name: str) -> str:
    slug = slugify(name)[:LONGEST_SLUG].strip("-") or model.access_scope
    if not model.objects.filter(slug=slug).exists():
        return slug
    return f"{slug}-{secrets.token_hex(3)}"
