"""Actions that change nothing of what is wanted."""

from apps.accounts.models import User
from apps.bulk_actions.actions.base import Action, Parameters
from apps.core.errors import Conflict
from apps.deployments.editing.restarting import apply_once_more, restart
from apps.deployments.models import Deployment, Operation, OperationState, RevisionState


class Restart(Action):
    key = "restart"
    label = "Restart"
    hint = "All components start again. Workers finish their tasks first."

    def change(self, *, deployment: Deployment, parameters: Parameters) -> str:
        _refuse_while_busy(deployment)
        if deployment.wanted is None or deployment.wanted.state != RevisionState.APPLIED:
            raise Conflict(f"{deployment.name} was not applied completely. Retry that first.")
        return "All components restart."

    def begin(
        self, *, actor: User, deployment: Deployment, parameters: Parameters, secret: str
    ) -> Operation:
        return restart(actor=actor, deployment=deployment)


class ApplyAgain(Action):
    key = "apply"
    label = "Apply again"
    hint = "What failed is tried again; what others changed on the cluster is reverted."

    def change(self, *, deployment: Deployment, parameters: Parameters) -> str:
        _refuse_while_busy(deployment)
        if deployment.wanted is None:
            raise Conflict(f"{deployment.name} has no revision yet.")
        return f"Revision {deployment.wanted.number} is applied again."

    def begin(
        self, *, actor: User, deployment: Deployment, parameters: Parameters, secret: str
    ) -> Operation:
        return apply_once_more(actor=actor, deployment=deployment)


def _refuse_while_busy(deployment: Deployment) -> None:
    if deployment.operations.filter(state=OperationState.RUNNING).exists():
        raise Conflict("Another operation is running.")
