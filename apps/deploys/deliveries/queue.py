"""The queue of a Deployment: deploys begin one after another, in the order in which they came.

A job looks every few seconds, under the lock of the Deployment, so that a worker that is killed
loses nothing. What a deploy was allowed when it was sent is asked again when it begins.
"""

import logging
from datetime import datetime

from django.db import transaction

from apps.access.queries import forget_permissions
from apps.accounts.models import User
from apps.core.errors import Conflict, PortalError, Refused
from apps.deployments.models import Deployment, Operation
from apps.deployments.operations import lock_deployment, record_change
from apps.deploys.deliveries.enforcement import ensure_may_deliver
from apps.deploys.deliveries.recording import begin, is_deploying, require_stored, waiting_in
from apps.deploys.models import Deploy, DeployState

logger = logging.getLogger(__name__)

DELIVER = "deployment.deploys.create"
MOST_AT_ONCE = 100
GOING_BACK = (Operation.Kind.ROLL_BACK, Operation.Kind.RESTORE)


class NotWaiting(Conflict):
    """The deploy has begun, or never will."""


def due() -> list[int]:
    """Return the Deployments in which deploys wait."""
    rows = Deploy.objects.filter(state=DeployState.WAITING)
    return list(rows.values_list("deployment", flat=True).distinct()[:MOST_AT_ONCE])


@transaction.atomic
def begin_next(*, deployment_id: int, now: datetime) -> Operation | None:
    """Begin the deploy whose turn it is, unless another one is in progress. One that may not begin
    any more is closed with a sentence, and the next one is looked at.
    """
    found = Deployment.objects.get(pk=deployment_id)
    try:
        deployment = lock_deployment(found)
    except Conflict as gone:
        waiting_in(found).update(state=DeployState.CANCELLED, problem=gone.message)
        return None
    if is_deploying(deployment, now=now):
        return None
    for deploy in waiting_in(deployment).select_related("created_by"):
        deploy.deployment = deployment
        if deployment.operations.filter(
            kind__in=GOING_BACK, started_at__gt=deploy.created_at
        ).exists():
            _close(deploy, DeployState.REPLACED, _rolled_back(deployment))
            continue
        try:
            with transaction.atomic():
                return _begin(deploy, deployment)
        except PortalError as error:
            _close(deploy, DeployState.REFUSED, error.message)
    return None


@transaction.atomic
def cancel(*, actor: User, deploy: Deploy) -> None:
    """Take a deploy out of the queue. Raises NotWaiting for one that has begun or was closed."""
    deployment = lock_deployment(deploy.deployment)
    deploy = waiting_in(deployment).filter(pk=deploy.pk).first() or _not_waiting(deploy)
    _close(deploy, DeployState.CANCELLED, f"{actor} cancelled it before it began.")
    number = {"deploy": [deploy.number, None]}
    record_change(actor, deployment, "deployment.deploy_cancelled", number)


def _begin(deploy: Deploy, deployment: Deployment) -> Operation:
    author = deploy.created_by
    if author is not None:
        forget_permissions(author)
        if not (author.is_active and author.has_perm(DELIVER, deployment)):
            raise Refused(f"{author} may no longer deploy to {deployment.name}.")
        if deploy.source == Deploy.Source.HAND and deploy.promoted_from_id is None:
            ensure_may_deliver(actor=author, deployment=deployment)
    require_stored(deploy)
    operation = begin(
        actor=author, deployment=deployment, deploy=deploy, kind=Operation.Kind.DEPLOY
    )
    deploy.save(update_fields=["state", "revision", "image_digest"])
    return operation


def _close(deploy: Deploy, state: DeployState, problem: str) -> None:
    deploy.state, deploy.revision, deploy.problem = state, None, problem[:1000]
    deploy.save(update_fields=["state", "revision", "problem"])
    logger.info("deploy left the queue", extra={"deploy": deploy.pk, "state": state})


def _rolled_back(deployment: Deployment) -> str:
    return f"{deployment.name} was rolled back or restored before it began. Deploy it again."


def _not_waiting(deploy: Deploy) -> Deploy:
    raise NotWaiting(f"Deploy {deploy.number} is not waiting any more.")
