"""What people say about when a Deployment hibernates; `deployments.editing.hibernating` does it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from apps.accounts.models import User
from apps.core.errors import Conflict, Invalid
from apps.dataplane.hibernation.plans import (
    MOST_TASK_MINUTES,
    HibernationPlan,
    Schedule,
    problem_of_schedule,
)
from apps.deployments.editing.hibernating import save_plan
from apps.deployments.editing.plans import plan_of
from apps.deployments.models import Deployment, Operation
from apps.deployments.operations import lock_deployment, record_change

MOST_SCHEDULES, LONGEST_DESCRIPTION = 10, 200
MOST_IDLE_HOURS = 168
GONE = "This schedule was removed or changed in the meantime. Look at the list again."


@transaction.atomic
def add_schedule(
    *, actor: User, deployment: Deployment, schedule: Schedule, now: datetime
) -> Operation | None:
    """Add a schedule. Raises Invalid, Conflict for a Deployment in deletion."""
    deployment = lock_deployment(deployment)
    schedules = (*plan_of(deployment).schedules, schedule)
    return _change(actor, deployment, schedules, now)


@transaction.atomic
def change_schedule(
    *, actor: User, deployment: Deployment, before: Schedule, after: Schedule | None, now: datetime
) -> Operation | None:
    """Put a schedule in place of another, or remove it. Raises Invalid, Conflict where `before` is
    not there any more.
    """
    deployment = lock_deployment(deployment)
    schedules = list(plan_of(deployment).schedules)
    if before not in schedules:
        raise Conflict(GONE)
    number = schedules.index(before)
    schedules[number : number + 1] = [after] if after else []
    return _change(actor, deployment, schedules, now)


@transaction.atomic
def set_schedules(
    *, actor: User, deployment: Deployment, schedules: Sequence[Schedule], now: datetime
) -> Operation | None:
    """Put these schedules in place of all. Raises Invalid, Conflict."""
    deployment = lock_deployment(deployment)
    if tuple(schedules) == plan_of(deployment).schedules:
        return None
    return _change(actor, deployment, schedules, now)


@transaction.atomic
def follow_schedules(*, actor: User, deployment: Deployment, now: datetime) -> Operation | None:
    """Let the schedules hold again, whatever was said by hand. Raises Conflict."""
    deployment = lock_deployment(deployment)
    plan = replace(plan_of(deployment), override=None)
    return save_plan(actor=actor, deployment=deployment, plan=plan, now=now)


@transaction.atomic
def set_limits(
    *, actor: User, deployment: Deployment, task_minutes: int, idle_hours: int, now: datetime
) -> None:
    """Say how long running tasks may go on before it hibernates, and after how many hours without
    anything to do it does so by itself, 0 for never. Raises Invalid, Conflict.
    """
    if not 0 <= task_minutes <= MOST_TASK_MINUTES:
        raise Invalid("Give tasks between 0 and 1440 minutes.", field="task_minutes")
    if not 0 <= idle_hours <= MOST_IDLE_HOURS:
        raise Invalid("Enter between 0 and 168 hours.", field="idle_hours")
    deployment = lock_deployment(deployment)
    before = plan_of(deployment)
    after = replace(before, task_minutes=task_minutes, idle_hours=idle_hours)
    if after == before:
        return
    changed = {
        "minutes for tasks": [before.task_minutes, task_minutes],
        "hours without work": [before.idle_hours, idle_hours],
    }
    record_change(actor, deployment, "deployment.hibernation_changed", changed)
    save_plan(actor=actor, deployment=deployment, plan=after, now=now)


def _change(
    actor: User, deployment: Deployment, schedules: Sequence[Schedule], now: datetime
) -> Operation | None:
    """Check and store the schedules of a locked Deployment."""
    if len(schedules) > MOST_SCHEDULES:
        raise Invalid(f"A Deployment has at most {MOST_SCHEDULES} schedules. Remove one first.")
    for schedule in schedules:
        field, message = problem_of_schedule(schedule)
        if message:
            raise Invalid(message, field=field)
        if len(schedule.description) > LONGEST_DESCRIPTION:
            raise Invalid("Describe it in at most 200 characters.", field="description")
    before = plan_of(deployment)
    plan = replace(before, schedules=tuple(schedules))
    changed = {"schedules": [_words(before), _words(plan)]}
    record_change(actor, deployment, "deployment.hibernation_changed", changed)
    return save_plan(actor=actor, deployment=deployment, plan=plan, now=now)


def _words(plan: HibernationPlan) -> str:
    return "; ".join(
        f"{one.hibernate_at} to {one.wake_at} {one.time_zone}{'' if one.is_enabled else ' (off)'}"
        for one in plan.schedules
    )


def set_development(*, deployment: Deployment, is_development: bool) -> None:
    """Note what clients of Astro call development mode: they offer hibernation only there."""
    Deployment.objects.filter(pk=deployment.pk).update(is_development=is_development)
