"""Prepare, begin, stop and resume actions on many Deployments. Whoever prepared one begins it."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.access.queries import permission_limit
from apps.access.roles.catalogue import PERMISSIONS
from apps.accounts.models import User
from apps.bulk_actions import jobs
from apps.bulk_actions.actions.base import Action
from apps.bulk_actions.actions.catalogue import ACTIONS
from apps.bulk_actions.models import ActionState, BulkAction, BulkItem, ItemState
from apps.core.encryption.keys import key_ring
from apps.core.errors import Conflict, Invalid, PortalError, Refused
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace

Place = Organization | Workspace
MOST_ITEMS = 500
MOST_AT_ONCE = 20
AT_ONCE = 5
MAY_STOP = {Workspace: "workspace.update", Organization: "organization.update"}


def prepare(
    *,
    actor: User,
    place: Place,
    kind: str,
    parameters: Mapping[str, Any],
    deployments: Iterable[Deployment],
    at_once: int = AT_ONCE,
    stops_on_failure: bool = True,
) -> BulkAction:
    """Write down what would be done, and find out for each Deployment what changes or why it is
    refused. Nothing is changed. `deployments` are those that the actor sees, with `wanted`,
    `cluster` and `workspace`.

    Raises Invalid with the field of a parameter, or for none or too many Deployments.
    """
    action = _action(kind)
    cleaned = _cleaned(action, parameters)
    chosen = list(deployments)
    if not chosen:
        raise Invalid("Choose at least one Deployment.", field="deployments")
    if len(chosen) > MOST_ITEMS:
        raise Invalid(f"Choose at most {MOST_ITEMS} Deployments at a time.", field="deployments")
    if not 1 <= at_once <= MOST_AT_ONCE:
        raise Invalid(f"From 1 to {MOST_AT_ONCE} can run at a time.", field="at_once")
    secret = action.secret_of(cleaned)
    judged = [_judged(action, actor, one, cleaned) for one in chosen]
    return _saved(actor, place, kind, cleaned, secret, judged, at_once, stops_on_failure)


@transaction.atomic
def begin(*, actor: User, action: BulkAction) -> BulkAction:
    """Begin what was prepared. A second call changes nothing. Raises Refused or Conflict."""
    action = _lock(action)
    _ensure_own(actor, action)
    if action.state == ActionState.RUNNING:
        return action
    if action.state != ActionState.DRAFT:
        raise Conflict("This action has ended. Prepare a new one.")
    if not action.items.filter(state=ItemState.WAITING).exists():
        raise Conflict("Each of these Deployments is refused, so there is nothing to begin.")
    _move(action, ActionState.RUNNING, began_at=timezone.now())
    count = action.items.filter(state=ItemState.WAITING).count()
    _record(actor, action, "begun", {"Deployments": [None, count]})
    transaction.on_commit(partial(jobs.request_step, action.pk), robust=True)
    return action


@transaction.atomic
def stop(*, actor: User, action: BulkAction) -> BulkAction:
    """Begin no further Deployment; those that run go on. Raises Refused or Conflict."""
    action = _lock(action)
    if action.actor_id != actor.pk and not actor.has_perm(
        MAY_STOP[type(action.place)], action.place
    ):
        raise Refused("Only the person who began it, or an owner, can stop it.")
    if action.state != ActionState.RUNNING:
        raise Conflict("This action is not running.")
    _move(action, ActionState.STOPPED, stop_reason=f"Stopped by {actor}."[:200])
    _record(actor, action, "stopped", {})
    return action


@transaction.atomic
def resume(*, actor: User, action: BulkAction, skips_failed: bool) -> BulkAction:
    """Go on after a stop or a failure. What failed or was refused is skipped, or tried again.
    Raises Refused or Conflict.
    """
    action = _lock(action)
    _ensure_own(actor, action)
    if action.state not in (ActionState.STOPPED, ActionState.ENDED):
        raise Conflict("This action is not stopped.")
    if action.state == ActionState.ENDED and action.sealed is None and _had_secret(action):
        raise Conflict("This action has ended and forgot its secret. Prepare a new one.")
    unwell = action.items.filter(state__in=(ItemState.FAILED, ItemState.REFUSED))
    if skips_failed:
        unwell.update(state=ItemState.SKIPPED, ended_at=timezone.now())
    else:
        unwell.update(state=ItemState.WAITING, operation=None, upgrade=None, ended_at=None)
    if not action.items.filter(state__in=(ItemState.WAITING, ItemState.RUNNING)).exists():
        _end(action)
        return action
    _move(action, ActionState.RUNNING, stop_reason="", ended_at=None)
    _record(actor, action, "resumed", {})
    transaction.on_commit(partial(jobs.request_step, action.pk), robust=True)
    return action


@transaction.atomic
def finish(*, actor: User, action: BulkAction) -> None:
    """End an action that is stopped, and skip what did not begin; a draft is gone then. Raises
    Refused, or Conflict while it runs.
    """
    action = _lock(action)
    _ensure_own(actor, action)
    if action.state == ActionState.DRAFT:
        action.delete()
        return
    if action.state != ActionState.STOPPED:
        raise Conflict("Stop this action first.")
    skip_rest(action)
    _record(actor, action, "ended", {})


def skip_rest(action: BulkAction) -> None:
    """End an action, which is locked. What runs is not followed any more."""
    rest = action.items.filter(state__in=(ItemState.WAITING, ItemState.RUNNING))
    rest.update(state=ItemState.SKIPPED, ended_at=timezone.now())
    _end(action)


def refusal_of(actor: User, deployment: Deployment, action: Action) -> str:
    """Say that the actor may not do this to a Deployment; empty where they may."""
    if actor.has_perm(action.permission, deployment):
        return ""
    return f"You may not: it takes the permission “{PERMISSIONS[action.permission]}”."


def _action(kind: str) -> Action:
    found = ACTIONS.get(kind)
    if found is None:
        raise Invalid(f"There is no action {kind[:20]}.", field="kind")
    return found


def _cleaned(action: Action, parameters: Mapping[str, Any]) -> dict[str, Any]:
    form = action.form(parameters)
    if form.is_valid():
        return dict(form.cleaned_data)
    field, errors = next(iter(form.errors.items()))
    raise Invalid(f"{form.fields[field].label or field}: {errors[0]}", field=field)


def _judged(
    action: Action, actor: User, deployment: Deployment, parameters: Mapping[str, Any]
) -> BulkItem:
    item = BulkItem(deployment=deployment)
    refusal = refusal_of(actor, deployment, action)
    try:
        item.message = refusal or action.change(deployment=deployment, parameters=parameters)
    except PortalError as error:
        refusal = item.message = error.message
    item.message = item.message[:500]
    if refusal:
        item.state = ItemState.REFUSED
    return item


@transaction.atomic
def _saved(
    actor: User,
    place: Place,
    kind: str,
    parameters: dict[str, Any],
    secret: str,
    items: list[BulkItem],
    at_once: int,
    stops_on_failure: bool,
) -> BulkAction:
    limit = permission_limit(actor)
    action = BulkAction(
        organization=place.organization if isinstance(place, Workspace) else place,
        workspace=place if isinstance(place, Workspace) else None,
        kind=kind,
        parameters=parameters,
        at_once=at_once,
        stops_on_failure=stops_on_failure,
        actor=actor,
        permissions=sorted(limit) if limit is not None else None,
    )
    if secret:
        action.sealed = key_ring().seal(value=secret, identity=action.identity("sealed"))
    action.save(force_insert=True)
    for position, item in enumerate(items):
        item.action, item.position = action, position
    BulkItem.objects.bulk_create(items)
    return action


def _had_secret(action: BulkAction) -> bool:
    return bool(action.parameters.get("is_secret"))


def _lock(action: BulkAction) -> BulkAction:
    rows = BulkAction.objects.select_for_update(of=("self",))
    return rows.select_related("organization", "workspace__organization").get(pk=action.pk)


def _ensure_own(actor: User, action: BulkAction) -> None:
    if action.actor_id != actor.pk:
        raise Refused("Only the person who prepared it can do that: it acts with their rights.")


def _move(action: BulkAction, state: ActionState, **fields: Any) -> None:
    BulkAction.objects.filter(pk=action.pk).update(state=state, **fields)
    action.state = state


def _end(action: BulkAction) -> None:
    _move(action, ActionState.ENDED, ended_at=timezone.now(), sealed=None, stop_reason="")


def end_if_done(action: BulkAction) -> bool:
    """End an action, which is locked, when nothing of it waits or runs. Return whether it did."""
    open_ones = (ItemState.WAITING, ItemState.RUNNING)
    if action.state != ActionState.RUNNING or action.items.filter(state__in=open_ones).exists():
        return False
    _end(action)
    return True


def stop_for(action: BulkAction, reason: str) -> None:
    """Stop an action, which is locked, by itself."""
    _move(action, ActionState.STOPPED, stop_reason=reason[:200])


def _record(actor: User, action: BulkAction, what: str, changes: dict[str, Any]) -> None:
    label = ACTIONS[action.kind].label
    record_on(
        action=f"bulk_action.{what}",
        actor=actor,
        on=action.place,
        changes={"action": [None, label], "number": [None, action.pk], **changes},
    )
