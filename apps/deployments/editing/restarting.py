"""Restarts the components of a Deployment, or applies it again, on request."""

from django.db import transaction

from apps.accounts.models import User
from apps.core.errors import Conflict
from apps.deployments.editing.revisions import apply_again
from apps.deployments.editing.services import retry
from apps.deployments.models import Deployment, Operation, OperationState, RevisionState
from apps.deployments.operations import lock_deployment, record_change


@transaction.atomic
def restart(*, actor: User, deployment: Deployment) -> Operation:
    """Restart all components, as a change of every one of them would: workers finish their tasks
    first. A second call while it runs returns the operation of the first.

    Raises Conflict while another operation runs, or when the last change was not applied.
    """
    deployment = lock_deployment(deployment)
    if deployment.is_hibernating:
        raise Conflict(f"{deployment.name} hibernates, so nothing of it runs. Wake it up instead.")
    running = deployment.operations.filter(state=OperationState.RUNNING).first()
    if running is not None and running.kind == Operation.Kind.RESTART:
        return running
    if running is not None:
        raise Conflict("Another operation is running. Restart when it has ended.")
    count = deployment.restarts + 1
    operation = apply_again(actor, deployment, Operation.Kind.RESTART, title="Restart")
    Deployment.objects.filter(pk=deployment.pk).update(restarts=count)
    record_change(
        actor, deployment, "deployment.restarted", {"operation": [None, operation.number]}
    )
    return operation


@transaction.atomic
def apply_once_more(*, actor: User, deployment: Deployment) -> Operation:
    """Apply the newest revision again: what failed is tried again, and what others changed on the
    data plane is reverted. Raises Conflict while another operation runs.
    """
    deployment = lock_deployment(deployment)
    if deployment.operations.filter(state=OperationState.RUNNING).exists():
        raise Conflict("Another operation is running. Apply it again when that has ended.")
    revision = deployment.wanted
    if revision is None or revision.state != RevisionState.APPLIED or deployment.quarantined_at:
        return retry(actor=actor, deployment=deployment)
    title = f"Apply revision {revision.number} again"
    operation = apply_again(actor, deployment, Operation.Kind.RETRY, title=title)
    record_change(actor, deployment, "deployment.retried", {"operation": [None, operation.number]})
    return operation
