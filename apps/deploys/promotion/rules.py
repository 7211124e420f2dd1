"""Where a promotion needs the approval of another person."""

from django.db import transaction
from django.db.models import Q

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.deployments.models import Deployment
from apps.deploys.models import ApprovalRule
from apps.organizations.models import Workspace


def needs_approval(deployment: Deployment) -> bool:
    """Return what the Deployment says, else its workspace."""
    own, default = approval_of(deployment)
    return default if own is None else own


def approval_of(deployment: Deployment) -> tuple[bool | None, bool]:
    """Return what was decided for the Deployment, None where nothing was, and the default of its
    workspace. One query.
    """
    here = Q(deployment=deployment) | Q(workspace=deployment.workspace_id)
    rows: dict[int | None, bool] = dict(
        ApprovalRule.objects.filter(here).values_list("deployment", "is_on")
    )
    return rows.get(deployment.pk), rows.get(None, False)


def default_approval_of(workspace: Workspace) -> bool:
    """Return whether promotions to Deployments that do not differ need approval."""
    return ApprovalRule.objects.filter(workspace=workspace, is_on=True).exists()


@transaction.atomic
def set_default_approval(*, actor: User, workspace: Workspace, is_on: bool) -> None:
    """Set the default of a workspace; it counts at once wherever nothing else was decided."""
    before = default_approval_of(workspace)
    if before == is_on:
        return
    ApprovalRule.objects.update_or_create(workspace=workspace, defaults={"is_on": is_on})
    _record(actor, workspace, before, is_on)


@transaction.atomic
def set_approval(*, actor: User, deployment: Deployment, is_on: bool | None) -> None:
    """Decide for one Deployment; None returns to the default of its workspace."""
    before, _ = approval_of(deployment)
    if before == is_on:
        return
    if is_on is None:
        ApprovalRule.objects.filter(deployment=deployment).delete()
    else:
        ApprovalRule.objects.update_or_create(deployment=deployment, defaults={"is_on": is_on})
    _record(actor, deployment, before, is_on)


def _record(
    actor: User, on: Workspace | Deployment, before: bool | None, after: bool | None
) -> None:
    words = {True: "needed", False: "not needed", None: "default of the workspace"}
    changes = {"approval of promotions": [words[before], words[after]]}
    action = f"{type(on).access_scope}.approval_rule_changed"
    record_on(action=action, actor=actor, on=on, changes=changes)
