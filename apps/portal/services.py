from typing import Any

from django.conf import settings
from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.queries import has_operator
from apps.accounts.services import LinkUnusable, create_person, use_sign_in_link
from apps.airflow_imports.work import cleanup as imports_cleanup
from apps.audit.services import record
from apps.backups.keeping import cleanup as backups_cleanup
from apps.clusters.services import register_this_machine
from apps.core.errors import Invalid, Refused
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Workspace
from apps.organizations.tokens.services import revoke_tokens_in
from apps.organizations.workspaces.services import create_organization, create_workspace
from apps.portal.models import Pin
from apps.portal.queries import deployments_in

MOST_NAMES = 5


@transaction.atomic
def set_up(
    *,
    token: str,
    email: str,
    name: str,
    password: str,
    organization_name: str,
    workspace_name: str,
) -> tuple[User, Workspace]:
    """Use the setup link and create the first administrator, organization and workspace.

    All or nothing: a refused password leaves the link usable. Raises LinkUnusable and Invalid.
    """
    link = use_sign_in_link(token=token)
    if link.user is not None or has_operator():
        raise LinkUnusable
    # Typed by whoever holds the link, and not proved by anything.
    owner = create_person(
        email=email, name=name, password=password, is_address_proved=False, is_operator=True
    )
    organization = create_organization(owner=owner, name=organization_name)
    if settings.HAS_LOCAL_PLANE:
        register_this_machine(actor=owner, organization=organization)
    workspace = create_workspace(actor=owner, organization=organization, name=workspace_name)
    return owner, workspace


@transaction.atomic
def delete_workspace(*, actor: User, workspace: Workspace, typed_name: str) -> None:
    """Delete a workspace permanently, with the records of Deployments that were deleted in it, and
    their backups.

    Raises Invalid when the name was typed wrong, Refused while it holds a Deployment.
    """
    if typed_name != workspace.name:
        raise Invalid(f"Type {workspace.name} to confirm.", field="confirm")
    revoke_tokens_in(actor=actor, on=workspace)
    # A Deployment that is created in this moment waits here, then finds no workspace.
    Workspace.objects.select_for_update().get(pk=workspace.pk)
    held = list(deployments_in(workspace=workspace))
    there = [deployment.name for deployment in held if deployment.phase != Phase.DELETING]
    if there:
        names = ", ".join(there[:MOST_NAMES]) + (" and others" if there[MOST_NAMES:] else "")
        raise Refused(f"{workspace} still holds {names}. Delete what it holds first.")
    if held:
        raise Refused(f"{workspace} is not empty yet: {held[0]} is being deleted. Repeat it soon.")
    changes = {"name": [workspace.name, None]}
    record_on(action="workspace.deleted", actor=actor, on=workspace, changes=changes)
    deleted = Deployment.objects.filter(workspace=workspace)
    # These two protect a revision, even one that is deleted together with its Deployment.
    deleted.update(wanted=None, applied=None)
    backups_cleanup.remove_objects_of(workspace)
    deleted.delete()
    imports_cleanup.remove_objects_of(workspace)
    workspace.delete()


def pin(*, user: User, on: Deployment | Workspace) -> None:
    """Keep a Deployment or workspace at hand for a person. Pinned already, it stays so."""
    Pin.objects.get_or_create(user=user, **_pinned(on))


def unpin(*, user: User, on: Deployment | Workspace) -> None:
    """Take a pin away, if there is one."""
    Pin.objects.filter(user=user, **_pinned(on)).delete()


def _pinned(on: Deployment | Workspace) -> dict[str, Any]:
    return {type(on).access_scope: on}


@transaction.atomic
def sign_in_by_link(*, token: str) -> User:
    """Use a sign-in link that was made for a person and return the person. Raises LinkUnusable."""
    link = use_sign_in_link(token=token)
    person = link.user
    if person is None or not person.is_active:
        raise LinkUnusable
    record(
        action="person.signed_in_by_link",
        actor=person,
        organization_id=None,
        target_kind="person",
        target_id=person.pk,
        target_label=person.email,
        changes={"single sign-on": ["as enforced", "bypassed"]}
        if link.bypasses_single_sign_on
        else {},
    )
    return person
