"""Puts Deployments to sleep and wakes them: by their plan, which people change or time carries out.

`is_hibernating` is what the plan says; a pass brings the data plane there. Where no other operation
runs, people follow it as one of its own.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction

from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.dataplane.hibernation import turns
from apps.dataplane.hibernation.plans import HibernationPlan, Override
from apps.dataplane.hibernation.turns import active_override, next_turn
from apps.deployments.editing.plans import TURN_LISTENERS, awake, plan_of, store_plan
from apps.deployments.editing.revisions import apply_again, supersede_operation
from apps.deployments.models import (
    Deployment,
    Operation,
    OperationState,
    Phase,
    RevisionState,
)
from apps.deployments.operations import begin_operation, lock_deployment

TURNS = (Operation.Kind.HIBERNATE, Operation.Kind.WAKE)
TITLES = {Operation.Kind.HIBERNATE: "Hibernate", Operation.Kind.WAKE: "Wake up"}
AT_ONCE = 100
# Of one Deployment, while the portal was away: two months of nights.
MOST_MISSED = 120
LONGEST = timedelta(days=366)


@transaction.atomic
def hibernate(
    *,
    actor: User | None,
    deployment: Deployment,
    until: datetime | None,
    now: datetime,
    reason: str = "",
) -> Operation | None:
    """Put a Deployment to sleep until a time, or until it is woken. Returns the operation that
    people follow: its own, or the one that runs already and ends with it asleep; None where it
    sleeps already.

    Raises Invalid for a time that is not to come, Conflict for one in deletion.
    """
    deployment = lock_deployment(deployment)
    override = Override(is_hibernating=True, since=now, until=_checked(until, now))
    plan = replace(plan_of(deployment), override=override)
    return _save(actor, deployment, plan, now=now, reason=reason)


@transaction.atomic
def wake(
    *,
    actor: User | None,
    deployment: Deployment,
    now: datetime,
    until: datetime | None = None,
    reason: str = "",
) -> Operation | None:
    """Wake a Deployment, and keep it awake until a time. Without one its schedules hold again from
    the moment at which they would have woken it. Returns the operation, None where it is awake.

    Raises Invalid for a time that is not to come, Conflict for one in deletion.
    """
    deployment = lock_deployment(deployment)
    plan = awake(plan_of(deployment), until=_checked(until, now), now=now)
    return _save(actor, deployment, plan, now=now, reason=reason)


@transaction.atomic
def stay_awake(*, actor: User | None, deployment: Deployment, now: datetime) -> Operation | None:
    """Wake a Deployment, and keep it awake until something else is said. As `wake` otherwise."""
    deployment = lock_deployment(deployment)
    plan = replace(plan_of(deployment), override=Override(is_hibernating=False, since=now))
    return _save(actor, deployment, plan, now=now, reason="")


@transaction.atomic
def save_plan(
    *, actor: User | None, deployment: Deployment, plan: HibernationPlan, now: datetime
) -> Operation | None:
    """Store a plan in place of the last one; it has been checked. Returns the operation where it
    falls asleep or wakes by that. Raises Conflict for a Deployment in deletion.
    """
    return _save(actor, lock_deployment(deployment), plan, now=now, reason="")


def turn_due(*, now: datetime) -> int:
    """Carry out what the plans say by now; return for how many Deployments."""
    due = Deployment.objects.filter(hibernation_turns_at__lte=now, phase=Phase.ACTIVE)
    ids = list(due.order_by("hibernation_turns_at").values_list("pk", flat=True)[:AT_ONCE])
    return sum(_turn(pk, now) for pk in ids)


@transaction.atomic
def _turn(deployment_id: int, now: datetime) -> bool:
    related = ("wanted", "applied", "cluster", "workspace")
    locked = Deployment.objects.select_for_update(skip_locked=True).filter(
        pk=deployment_id, hibernation_turns_at__lte=now, phase=Phase.ACTIVE
    )
    if not list(locked.values_list("pk")):
        return False
    deployment = Deployment.objects.select_related(*related).get(pk=deployment_id)
    plan = plan_of(deployment)
    at = _last_turn(deployment, plan, now) if deployment.cluster.keeps_time else now
    if active_override(plan, at) is None:
        plan = replace(plan, override=None)
    _save(None, deployment, plan, now=at, reason="its schedule")
    return True


def _last_turn(deployment: Deployment, plan: HibernationPlan, now: datetime) -> datetime:
    """Return when the data plane turned last by itself, and tell of the turns before, which came
    and went while the portal was away.
    """
    at, is_asleep = deployment.hibernation_turns_at or now, deployment.is_hibernating
    for _ in range(MOST_MISSED):
        following = next_turn(plan, at)
        if following is None or following.at > now:
            break
        deployment.is_hibernating = turns.is_hibernating(plan, at)
        for listener in TURN_LISTENERS:
            listener(deployment, at)
        at = following.at
    else:
        at = now
    deployment.is_hibernating = is_asleep
    return at


def _checked(until: datetime | None, now: datetime) -> datetime | None:
    if until is not None and not now < until <= now + LONGEST:
        raise Invalid("Enter a time within the next year.", field="until")
    return until


def _save(
    actor: User | None,
    deployment: Deployment,
    plan: HibernationPlan,
    *,
    now: datetime,
    reason: str,
) -> Operation | None:
    """Store the plan of a locked Deployment, and begin what it brings about now."""
    if not store_plan(actor, deployment, plan, now=now, reason=reason):
        return None
    kind = Operation.Kind.HIBERNATE if deployment.is_hibernating else Operation.Kind.WAKE
    return _begin(actor, deployment, kind)


def _begin(actor: User | None, deployment: Deployment, kind: Operation.Kind) -> Operation | None:
    """Begin the operation of a turn. An edit that is being applied is followed instead, and what
    has failed or was given up is left to whoever tries again.
    """
    revision, title = deployment.wanted, TITLES[kind]
    running = deployment.operations.filter(state=OperationState.RUNNING).first()
    if running is not None and running.kind not in TURNS:
        return running
    if running is not None:
        supersede_operation(deployment)
        operation = begin_operation(actor, deployment, kind, title=title, revision=revision)
    elif revision is None or revision.state != RevisionState.APPLIED or deployment.quarantined_at:
        return None
    else:
        operation = apply_again(actor, deployment, kind, title=title)
    return operation
