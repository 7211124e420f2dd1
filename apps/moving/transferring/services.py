"""Moving a Deployment to another workspace, in one transaction. Airflow is not asked: its tasks run
on.

Locks are taken from the top down, as everywhere: organization, workspaces, Deployment.
"""

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.access.grants.audit_labels import role_of, role_of_team
from apps.access.grants.services import delete_grants, lock_memberships
from apps.access.queries import forget_permissions
from apps.access.scoped import require
from apps.accounts.models import User
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.alerts.silences.services import end_silence
from apps.alerts.sweeping.deleting import delete_rule
from apps.core.errors import Conflict, Refused
from apps.deployments.configuration.requested import hold_quota
from apps.deployments.editing.code_rights import ensure_gains_no_code
from apps.deployments.editing.services import name_taken
from apps.deployments.layering.services import changed_by_move
from apps.deployments.models import (
    Deployment,
    DeploymentGrant,
    DeploymentTeamGrant,
    Draft,
    SecretValue,
)
from apps.deployments.operations import lock_deployment, record_change
from apps.environment.objects.moving import move_objects
from apps.moving.transferring.refusals import refusals
from apps.organizations.models import Workspace
from apps.organizations.tokens.services import revoke_tokens_in

LEAVE, CREATE = "deployment.delete", "workspace.deployments.create"


@transaction.atomic
def transfer_deployment(*, actor: User, deployment: Deployment, workspace: Workspace) -> Deployment:
    """Move a Deployment to another workspace of its organization. Roles on it end and its API
    tokens are revoked; its variables, connections, drafts, code and backups go along; alert rules
    about it alone that belong to the old workspace are deleted.

    Raises PermissionMissing, Refused for another organization, Invalid with field "name" where that
    is taken meanwhile, and Conflict with the first of `refusals`.
    """
    ensure_may_transfer(actor=actor, deployment=deployment, workspace=workspace)
    lock_memberships(on=deployment)
    both = Workspace.objects.filter(pk__in=[deployment.workspace_id, workspace.pk])
    list(both.select_for_update(no_key=True).order_by("pk"))
    deployment = lock_deployment(deployment)
    hold_quota(workspace)
    before = deployment.workspace
    # It may have been moved, and the roles changed, while this waited.
    forget_permissions(actor)
    ensure_may_transfer(actor=actor, deployment=deployment, workspace=workspace)
    found = refusals(deployment=deployment, workspace=workspace)
    if found:
        raise Conflict(found[0])
    _end_access(actor, deployment)
    _end_alerts(actor, deployment)
    is_reset = bool(changed_by_move(deployment=deployment, workspace=workspace))
    _move(deployment, workspace, is_reset=is_reset)
    move_objects(actor=actor, deployment=deployment, before=before)
    changes = {"workspace": [before.name, workspace.name]}
    record_change(actor, deployment, "deployment.transferred", changes)
    forget_permissions(actor)
    return deployment


def ensure_may_transfer(*, actor: User, deployment: Deployment, workspace: Workspace) -> None:
    """Raise PermissionMissing unless the actor may take the Deployment away from its workspace and
    create one in the other; Refused for another organization, and where they may deploy code there
    and not here.
    """
    if workspace.organization_id != deployment.workspace.organization_id:
        raise Refused("Transfer within one organization only.")
    require(user=actor, permission=LEAVE, on=deployment)
    for place in (deployment.workspace, workspace):
        require(user=actor, permission=CREATE, on=place)
    ensure_gains_no_code(actor=actor, deployment=deployment, workspace=workspace)


def _end_access(actor: User, deployment: Deployment) -> None:
    """Revoke what is held on the Deployment itself: it was given by those who answer for the old
    workspace.
    """
    revoke_tokens_in(actor=actor, on=deployment)
    for grant in DeploymentGrant.objects.filter(content_object=deployment).select_related("user"):
        delete_grants(
            grants=DeploymentGrant.objects,
            holder={"user": grant.user},
            label=role_of(grant.user),
            actor=actor,
            is_free=True,
            on=deployment,
        )
    teams = DeploymentTeamGrant.objects.filter(content_object=deployment)
    for held in teams.select_related("group__team"):
        delete_grants(
            grants=DeploymentTeamGrant.objects,
            holder={"group": held.group},
            label=role_of_team(held.group.team),
            actor=actor,
            is_free=True,
            on=deployment,
        )


def _end_alerts(actor: User, deployment: Deployment) -> None:
    """Delete rules about the Deployment alone that tell the channels of the old workspace, and end
    silences.
    """
    now = timezone.now()
    here = {"workspace": deployment.workspace_id, "deployment": deployment}
    related = ("workspace__organization", "escalate_to")
    for rule in Rule.objects.filter(**here).select_related(*related):
        delete_rule(actor=actor, rule=rule, now=now)
    going_on = Silence.objects.filter(**here, ended_at=None, ends_at__gt=now)
    for silence in going_on.select_related("workspace__organization"):
        end_silence(actor=actor, silence=silence, now=now)


def _move(deployment: Deployment, workspace: Workspace, *, is_reset: bool) -> None:
    """Put the row, its sealed values and its drafts into the other workspace. `is_reset`: other
    settings hold there, which are applied as after a change of a layer.
    """
    drafts = list(Draft.objects.filter(deployment=deployment, operation=None))
    typed = {secret for draft in drafts for secret in draft.configuration.secret_ids}
    SecretValue.objects.filter(deployment=deployment).update(workspace=workspace)
    SecretValue.objects.filter(pk__in=typed, deployment=None).update(workspace=workspace)
    Draft.objects.filter(deployment=deployment).update(workspace=workspace)
    deployment.workspace = workspace
    try:
        with transaction.atomic():
            deployment.save(update_fields=["workspace"])
    except IntegrityError as error:
        raise name_taken(error, deployment.name) from error
    if is_reset:
        rows = Deployment.objects.filter(pk=deployment.pk)
        rows.update(layers_version=F("layers_version") + 1)
