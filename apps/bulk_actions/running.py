"""One step of an action: look what became of the Deployments that run, then begin more.

Each Deployment is begun in a transaction of its own, in which its item is marked, too: a worker
that is killed leaves either both or none. The row of the action is locked, so two workers do not do
the same; one that finds it locked leaves it to the other.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.access.queries import limit_permissions
from apps.accounts.models import User
from apps.bulk_actions.actions.base import DONE, Begun, Outcome
from apps.bulk_actions.actions.catalogue import ACTIONS
from apps.bulk_actions.models import ActionState, BulkAction, BulkItem, ItemState
from apps.bulk_actions.services import end_if_done, refusal_of, skip_rest, stop_for
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.encryption.keys import key_ring
from apps.core.errors import PortalError
from apps.deployments.models import Deployment, Operation
from apps.upgrades.models import Upgrade

logger = logging.getLogger(__name__)

# The audit log keeps what was done to each Deployment.
ENDED_LAST, DRAFTS_LAST = timedelta(days=90), timedelta(days=1)
UNEXPECTED = "An unexpected error stopped it. The log of the portal has the details."


def due() -> list[int]:
    """Return the ids of actions that run, or are stopped and have Deployments that still do."""
    followed = Q(state=ActionState.STOPPED, items__state=ItemState.RUNNING)
    rows = BulkAction.objects.filter(Q(state=ActionState.RUNNING) | followed)
    return list(rows.distinct().order_by("pk").values_list("pk", flat=True))


def remove_old(*, now: datetime) -> int:
    """Remove actions that ended 90 days ago, and previews that were never begun; return how many.
    Those that stopped wait for a person.
    """
    ended = Q(state=ActionState.ENDED, ended_at__lt=now - ENDED_LAST)
    draft = Q(state=ActionState.DRAFT, created_at__lt=now - DRAFTS_LAST)
    rows = list(BulkAction.objects.filter(ended | draft).values_list("pk", flat=True))
    BulkAction.objects.filter(ended | draft, pk__in=rows).delete()
    return len(rows)


def step(*, action_id: int) -> None:
    """Take one step. Safe to repeat, and to be interrupted."""
    _settle(action_id)
    while _begin_next(action_id):
        pass
    with transaction.atomic():
        action = _lock(action_id)
        if action is not None and end_if_done(action):
            logger.info("bulk action ended", extra={"action": action_id})


@transaction.atomic
def _settle(action_id: int) -> None:
    action = _lock(action_id)
    if action is None:
        return
    running = action.items.filter(state=ItemState.RUNNING)
    actor = _actor(action)
    related = ("operation", "deployment", "upgrade__deployment__workspace__organization")
    for item in running.select_related(*related).order_by("position"):
        _note_outcome(action, item, actor)


def _note_outcome(action: BulkAction, item: BulkItem, actor: User | None) -> None:
    begun = item.operation or item.upgrade
    outcome: Outcome = "What it began is gone."
    if begun is not None:
        outcome = _outcome(action, begun, actor)
    if outcome is None:
        return
    if outcome == DONE:
        _mark(item, ItemState.DONE, "")
    else:
        _fail(action, item, outcome)


def _fail(action: BulkAction, item: BulkItem, message: str) -> None:
    _mark(item, ItemState.FAILED, message)
    if action.stops_on_failure and action.state == ActionState.RUNNING:
        stop_for(action, f"{item.deployment.name} failed.")


def _outcome(action: BulkAction, begun: Begun, actor: User | None) -> Outcome:
    try:
        with transaction.atomic():
            return ACTIONS[action.kind].outcome(actor=actor, begun=begun)
    except PortalError as error:
        return error.message


@transaction.atomic
def _begin_next(action_id: int) -> bool:
    """Begin the next Deployment that waits. Return whether there may be another one to begin."""
    action = _lock(action_id)
    if action is None or action.state != ActionState.RUNNING:
        return False
    if action.items.filter(state=ItemState.RUNNING).count() >= action.at_once:
        return False
    item = action.items.filter(state=ItemState.WAITING).order_by("position").first()
    if item is None:
        return False
    actor = _actor(action)
    if actor is None:
        skip_rest(action)
        return False
    _begin(action, item, actor)
    return True


def _begin(action: BulkAction, item: BulkItem, actor: User) -> None:
    kind = ACTIONS[action.kind]
    parts = ("wanted", "applied", "cluster", "workspace__organization")
    deployment = Deployment.objects.select_related(*parts).get(pk=item.deployment_id)
    refusal = refusal_of(actor, deployment, kind)
    # It may have left the place for which the action was prepared.
    if action.workspace_id not in (None, deployment.workspace_id):
        refusal = f"It is in the workspace {deployment.workspace} by now."
    if refusal:
        _mark(item, ItemState.REFUSED, refusal)
        return
    try:
        with transaction.atomic():
            begun = kind.begin(
                actor=actor,
                deployment=deployment,
                parameters=action.parameters,
                secret=_secret(action),
            )
    except (PortalError, SecretUnreadable) as error:
        _mark(item, ItemState.REFUSED, getattr(error, "message", str(error)))
        return
    except Exception:
        # One that cannot be begun must not keep the action from going on, or from being stopped.
        logger.exception("not begun", extra={"action": action.pk, "deployment": deployment.ref})
        _fail(action, item, UNEXPECTED)
        return
    item.state = ItemState.RUNNING
    item.operation = begun if isinstance(begun, Operation) else None
    item.upgrade = begun if isinstance(begun, Upgrade) else None
    item.save(update_fields=["state", "operation", "upgrade"])


def _actor(action: BulkAction) -> User | None:
    """Return the person or token as they are now, without remembered rights; None if gone."""
    actor = User.objects.filter(pk=action.actor_id or 0, is_active=True).first()
    if actor is not None and action.permissions is not None:
        limit_permissions(actor, action.permissions)
    return actor


def _secret(action: BulkAction) -> str:
    if not action.sealed:
        return ""
    return key_ring().open(sealed=bytes(action.sealed), identity=action.identity("sealed"))


def _mark(item: BulkItem, state: ItemState, message: str) -> None:
    item.state, item.ended_at = state, timezone.now()
    item.message = message[:500] or item.message
    item.save(update_fields=["state", "ended_at", "message"])


def _lock(action_id: int) -> BulkAction | None:
    rows = BulkAction.objects.select_for_update(of=("self",), skip_locked=True)
    related = ("organization", "workspace__organization")
    return rows.select_related(*related).filter(pk=action_id).first()
