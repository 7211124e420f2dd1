"""Create and change organizations and workspaces. Every write is audited."""

import secrets

from django.db import transaction
from django.utils.text import slugify

from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import grant
from apps.access.models import Role
from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.organizations.models import Organization, Workspace

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
