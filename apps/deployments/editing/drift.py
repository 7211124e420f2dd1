"""Reverts drift on request, where the configuration does not correct it automatically."""

from django.db import transaction

from apps.accounts.models import User
from apps.core.errors import Conflict
from apps.deployments.editing.revisions import apply_again
from apps.deployments.models import Deployment, Operation, OperationState, RevisionState
from apps.deployments.operations import lock_deployment, record_change


@transaction.atomic
def put_back(*, actor: User, deployment: Deployment) -> Operation:
    """Apply the current revision once more, over what others changed. Raises Conflict when nothing
    differs; a second call returns the operation of the first.
    """
    deployment = lock_deployment(deployment)
    running = deployment.operations.filter(state=OperationState.RUNNING).first()
    if running is not None:
        return running
    revision = deployment.wanted
    is_settled = revision is not None and revision.state == RevisionState.APPLIED
    if revision is None or not is_settled or not deployment.observation.get("is_drifted"):
        raise Conflict("The cluster matches the applied revision, so there is nothing to revert.")
    found = deployment.observation.get("drift", [])
    drifted = {one["object"]: [", ".join(one["fields"]), "reverted"] for one in found}
    record_change(actor, deployment, "deployment.put_back", drifted)
    title = f"Revert drift from revision {revision.number}"
    return apply_again(actor, deployment, Operation.Kind.PUT_BACK, title=title)
