"""Drafts: an edit on its way from the form to the review, until it is confirmed."""

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Refused
from apps.deployments.configuration.schema import Configuration
from apps.deployments.editing.services import create_deployment, restore_revision, update_config
from apps.deployments.models import Deployment, Draft, Operation, Revision, SecretValue
from apps.deployments.secrets import sealed
from apps.organizations.models import Workspace


def store_secret(*, workspace: Workspace, value: str, actor: User) -> SecretValue:
    """Seal a secret value; its id goes into `Variable.secret_id`."""
    row = sealed.new_secret_value(workspace=workspace, value=value)
    row.created_by = actor
    row.save(force_insert=True)
    return row


def save_draft(
    *,
    actor: User,
    workspace: Workspace,
    cluster: Cluster,
    configuration: Configuration,
    name: str = "",
    deployment: Deployment | None = None,
    base: Revision | None = None,
    restores: Revision | None = None,
) -> Draft:
    """Store an edit for the review page.

    A draft of a new Deployment has a name; one of an existing Deployment has the revision it is
    based on, and `restores` if it is a rollback to an earlier one.
    """
    return Draft.objects.create(
        author=actor,
        workspace=workspace,
        cluster=cluster,
        config=configuration.to_json(),
        name=name.strip(),
        deployment=deployment,
        base=base,
        restores=restores,
    )


@transaction.atomic
def update_draft(
    *,
    actor: User,
    draft: Draft,
    configuration: Configuration,
    name: str = "",
    base: Revision | None = None,
    cluster: Cluster | None = None,
) -> Draft:
    """Replace what a draft holds; `base` moves it onto a newer revision after a stale edit, and
    `cluster` a new Deployment to another one.

    An edited draft no longer restores a revision. Raises Conflict once it is confirmed.
    """
    draft = _lock_open(actor, draft)
    dropped = set(draft.configuration.secret_ids) - set(configuration.secret_ids)
    _forget_secrets(actor, dropped)
    draft.config = configuration.to_json()
    draft.name = name.strip() or draft.name
    draft.base = base or draft.base
    draft.cluster = cluster or draft.cluster
    draft.restores = None
    draft.updated_at = timezone.now()
    draft.save(update_fields=["config", "name", "base", "cluster", "restores", "updated_at"])
    return draft


@transaction.atomic
def move_draft(*, actor: User, draft: Draft, base: Revision) -> Draft:
    """Move a draft onto a newer revision and leave the rest as it is, the revision to restore
    included. Raises Conflict once it is confirmed.
    """
    draft = _lock_open(actor, draft)
    draft.base = base
    draft.updated_at = timezone.now()
    draft.save(update_fields=["base", "updated_at"])
    return draft


@transaction.atomic
def discard_draft(*, actor: User, draft: Draft) -> None:
    """Delete a draft and the secrets that only it refers to."""
    draft = _lock(actor, draft)
    _forget_secrets(actor, set(draft.configuration.secret_ids))
    draft.delete()


@transaction.atomic
def confirm_draft(*, actor: User, draft: Draft, reason: str = "") -> Operation:
    """Apply a draft: create, update or restore. A second call returns the operation of the first.

    Raises StaleBase, Invalid, Refused or Conflict, like the service it calls.
    """
    draft = _lock(actor, draft)
    if draft.operation is not None:
        return draft.operation
    draft.operation = _carry_out(actor, draft, reason)
    draft.deployment = draft.operation.deployment
    draft.save(update_fields=["operation", "deployment"])
    return draft.operation


def _carry_out(actor: User, draft: Draft, reason: str) -> Operation:
    configuration = draft.configuration
    if draft.deployment is None:
        return create_deployment(
            actor=actor,
            workspace=draft.workspace,
            cluster=draft.cluster,
            name=draft.name,
            configuration=configuration,
            reason=reason,
        )
    if draft.base is None:
        raise Conflict("This draft has no base revision. Start again from the form.")
    if draft.restores is not None:
        return restore_revision(
            actor=actor,
            deployment=draft.deployment,
            revision=draft.restores,
            base_revision_number=draft.base.number,
            reason=reason,
        )
    return update_config(
        actor=actor,
        deployment=draft.deployment,
        configuration=configuration,
        base_revision_number=draft.base.number,
        reason=reason,
    )


def _lock(actor: User, draft: Draft) -> Draft:
    # No joins: rows joined before waiting for the lock would be stale.
    locked = Draft.objects.select_for_update().get(pk=draft.pk)
    if locked.author_id != actor.pk:
        raise Refused("Only its author can use a draft.")
    return locked


def _lock_open(actor: User, draft: Draft) -> Draft:
    draft = _lock(actor, draft)
    if draft.operation is not None:
        raise Conflict("This draft was already applied. Edit the Deployment instead.")
    return draft


def _forget_secrets(actor: User, ids: set[str]) -> None:
    """Delete secrets that belong to no Deployment."""
    SecretValue.objects.filter(pk__in=ids, deployment=None, created_by=actor).delete()
