"""The plan of a Deployment that hibernates, in its row, and what follows from writing it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from django.db.models import F
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.dataplane.hibernation.plans import HibernationPlan, Override, plan_from_json, plan_to_json
from apps.dataplane.hibernation.turns import is_hibernating, next_turn, scheduled_wake
from apps.deployments.models import Deployment
from apps.deployments.operations import record_change

# Called with each Deployment that falls asleep or wakes, in the same transaction. An app above this
# one puts itself here.
TURN_LISTENERS: list[Callable[[Deployment, datetime], None]] = []


def plan_of(deployment: Deployment) -> HibernationPlan:
    """Return when a Deployment hibernates."""
    return plan_from_json(deployment.hibernation)


def awake(plan: HibernationPlan, *, until: datetime | None, now: datetime) -> HibernationPlan:
    """Return the plan of one that is woken, until its schedules would have woken it by default."""
    end = until or scheduled_wake(plan, now)
    override = Override(is_hibernating=False, since=now, until=end) if end else None
    return replace(plan, override=override)


def wake_for_change(actor: User | None, deployment: Deployment, *, now: datetime) -> None:
    """Let a change that has to be seen running wake a locked Deployment: the revision that the
    caller adds is applied awake.
    """
    if deployment.is_hibernating:
        plan = awake(plan_of(deployment), until=None, now=now)
        store_plan(actor, deployment, plan, now=now, reason="a change of code or runtime")


def store_plan(
    actor: User | None,
    deployment: Deployment,
    plan: HibernationPlan,
    *,
    now: datetime,
    reason: str,
) -> bool:
    """Write the plan of a locked Deployment and what it says now; return whether that is news."""
    before = deployment.is_hibernating
    turn = next_turn(plan, now)
    deployment.hibernation = plan_to_json(plan)
    deployment.is_hibernating = is_hibernating(plan, now)
    deployment.hibernation_turns_at = turn.at if turn else None
    Deployment.objects.filter(pk=deployment.pk).update(
        hibernation=deployment.hibernation,
        is_hibernating=deployment.is_hibernating,
        hibernation_turns_at=deployment.hibernation_turns_at,
        hibernation_version=F("hibernation_version") + 1,
        next_reconcile_at=Now(),
        is_urgent=True,
    )
    if deployment.is_hibernating == before:
        return False
    action = "deployment.hibernated" if deployment.is_hibernating else "deployment.woken"
    changed = {"hibernating": [before, deployment.is_hibernating]}
    record_change(actor, deployment, action, changed | ({"for": [None, reason]} if reason else {}))
    for listener in TURN_LISTENERS:
        listener(deployment, now)
    return True
