"""Hibernation on the wire: `scalingSpec` and `scalingStatus`, as clients of Astro know them, with
time zones and the minutes for tasks on top.
"""

from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import transaction
from django.utils import timezone
from pydantic import Field

from apps.accounts.models import User
from apps.api.wire.shapes import Shape
from apps.dataplane.hibernation.plans import (
    HibernationPlan,
    Override,
    Schedule,
    plan_from_json,
)
from apps.dataplane.hibernation.turns import active_override
from apps.deployments.editing.hibernating import hibernate, stay_awake, wake
from apps.deployments.editing.plans import plan_of
from apps.deployments.models import Deployment, Operation
from apps.hibernation import services
from apps.hibernation.asleep import deadlines_asleep
from apps.hibernation.queries import missed_runs
from apps.hibernation.services import set_development

DAY, WEEK = timedelta(days=1), timedelta(days=7)
CRON = Field(min_length=1, max_length=100)


class HibernationScheduleShape(Shape):
    """`timeZone` is a name such as Europe/Oslo; UTC where a client leaves it out."""

    hibernate_at_cron: str = CRON
    wake_at_cron: str = CRON
    time_zone: str | None = Field(default=None, max_length=64)
    description: str | None = Field(default=None, max_length=200)
    is_enabled: bool = True


class OverrideBody(Shape):
    """Without `overrideUntil` it holds until something else is said."""

    is_hibernating: bool
    override_until: datetime | None = None


class DeadlineShape(Shape):
    """A deadline of an alert rule; `dags` is how many DAGs it is for."""

    due_at: datetime
    rule_name: str
    dags: int


class MissedRunsShape(Shape):
    """Runs that schedules of `dags` ask for. At waking those of `catchingUp` make up for `madeUp`,
    those of `once` run for the last one, and of `unknown` Airflow has not said which. `uncounted`
    have a timetable whose times only Airflow knows. `isCapped`: there are more runs.
    """

    dags: int
    runs: int
    catching_up: int
    made_up: int
    once: int
    unknown: int
    uncounted: int
    is_capped: bool


class OverrideShape(OverrideBody):
    """`deadlinesAsleep` are told in the answer to setting an override: those that pass in the next
    7 days while it hibernates by it. They are not checked. `missedRuns` are those of the next day.
    """

    is_active: bool = True
    deadlines_asleep: list[DeadlineShape] | None = None
    missed_runs: MissedRunsShape | None = None


class HibernationSpecBody(Shape):
    """What is left out stays; an empty list removes all schedules."""

    schedules: list[HibernationScheduleShape] | None = None
    override: OverrideBody | None = None
    task_minutes: int | None = None
    idle_hours: int | None = None


class ScalingSpecBody(Shape):
    hibernation_spec: HibernationSpecBody | None = None


class HibernationSpec(Shape):
    schedules: list[HibernationScheduleShape]
    override: OverrideShape | None = None
    task_minutes: int
    idle_hours: int


class ScalingSpec(Shape):
    hibernation_spec: HibernationSpec


class HibernationStatus(Shape):
    is_hibernating: bool
    reason: str
    next_event_type: str | None = None
    next_event_at: str | None = None


class ScalingStatus(Shape):
    hibernation_status: HibernationStatus


class Hibernating(Protocol):
    """What is read of a Deployment: of the model, or of a row of a list."""

    @property
    def hibernation(self) -> dict[str, Any]: ...
    @property
    def is_hibernating(self) -> bool: ...
    @property
    def hibernation_turns_at(self) -> datetime | None: ...


def scaling_spec(deployment: Hibernating) -> ScalingSpec | None:
    """Describe when a Deployment hibernates; None where nothing was ever said."""
    if not deployment.hibernation:
        return None
    plan, now = plan_from_json(deployment.hibernation), timezone.now()
    override = active_override(plan, now)
    return ScalingSpec(
        hibernation_spec=HibernationSpec(
            schedules=[_shape(one) for one in plan.schedules],
            override=override_shape(override) if override else None,
            task_minutes=plan.task_minutes,
            idle_hours=plan.idle_hours,
        )
    )


def scaling_status(deployment: Hibernating) -> ScalingStatus | None:
    """Describe whether a Deployment hibernates; None where nothing was ever said."""
    if not deployment.hibernation:
        return None
    override = active_override(plan_from_json(deployment.hibernation), timezone.now())
    turns_at = deployment.hibernation_turns_at
    return ScalingStatus(
        hibernation_status=HibernationStatus(
            is_hibernating=deployment.is_hibernating,
            reason="By override." if override else "By schedule.",
            next_event_type=_event(deployment) if turns_at else None,
            next_event_at=turns_at.isoformat().replace("+00:00", "Z") if turns_at else None,
        )
    )


def override_shape(override: Override) -> OverrideShape:
    return OverrideShape(is_hibernating=override.is_hibernating, override_until=override.until)


def deadlines_by(deployment: Deployment, body: OverrideBody) -> list[DeadlineShape]:
    """List the deadlines that pass while it hibernates as a client says."""
    if not body.is_hibernating:
        return []
    now = timezone.now()
    end = min(body.override_until or now + WEEK, now + WEEK)
    return [
        DeadlineShape(due_at=one.at, rule_name=one.rule, dags=one.dags)
        for one in deadlines_asleep(deployment, [(now, end)])
    ]


def missed_by(deployment: Deployment, body: OverrideBody) -> MissedRunsShape | None:
    """Count the runs that are missed in a day of what a client says; None where it is to wake."""
    if not body.is_hibernating:
        return None
    now = timezone.now()
    end = min(body.override_until or now + DAY, now + DAY)
    return MissedRunsShape(**vars(missed_runs(deployment, now=now, until=end)))


@transaction.atomic
def save_override(
    *, actor: User, deployment: Deployment, body: OverrideBody, now: datetime
) -> Operation | None:
    """Put a Deployment to sleep or keep it awake, as a client says. Raises Invalid, Conflict."""
    until = body.override_until
    if body.is_hibernating:
        return hibernate(actor=actor, deployment=deployment, until=until, now=now)
    if until is None:
        return stay_awake(actor=actor, deployment=deployment, now=now)
    return wake(actor=actor, deployment=deployment, until=until, now=now)


def save_scaling(
    *,
    actor: User,
    deployment: Deployment,
    body: ScalingSpecBody | None,
    is_development: bool | None,
) -> None:
    """Take over what a client sends with the rest of a Deployment, where it differs. Raises
    Invalid, Conflict.
    """
    if is_development is not None and is_development != deployment.is_development:
        set_development(deployment=deployment, is_development=is_development)
    spec, now = body.hibernation_spec if body else None, timezone.now()
    if spec is None:
        return
    plan = plan_of(deployment)
    if spec.task_minutes is not None or spec.idle_hours is not None:
        minutes, hours = spec.task_minutes, spec.idle_hours
        services.set_limits(
            actor=actor,
            deployment=deployment,
            task_minutes=plan.task_minutes if minutes is None else minutes,
            idle_hours=plan.idle_hours if hours is None else hours,
            now=now,
        )
    if spec.schedules is not None:
        schedules = [_schedule(one, plan) for one in spec.schedules]
        services.set_schedules(actor=actor, deployment=deployment, schedules=schedules, now=now)
    if spec.override is not None and not _is_same(spec.override, active_override(plan, now)):
        save_override(actor=actor, deployment=deployment, body=spec.override, now=now)


def _is_same(body: OverrideBody, known: Override | None) -> bool:
    if known is None:
        return False
    return (body.is_hibernating, body.override_until) == (known.is_hibernating, known.until)


def _schedule(body: HibernationScheduleShape, plan: HibernationPlan) -> Schedule:
    """Read a schedule; a client that knows no time zones leaves them as they are."""
    known = next((one for one in plan.schedules if _crons(one) == _sent(body)), None)
    return Schedule(
        hibernate_at=body.hibernate_at_cron,
        wake_at=body.wake_at_cron,
        time_zone=body.time_zone or (known.time_zone if known else "UTC"),
        is_enabled=body.is_enabled,
        description=body.description or "",
    )


def _crons(one: Schedule) -> tuple[str, str]:
    return one.hibernate_at, one.wake_at


def _sent(body: HibernationScheduleShape) -> tuple[str, str]:
    return body.hibernate_at_cron, body.wake_at_cron


def _shape(one: Schedule) -> HibernationScheduleShape:
    return HibernationScheduleShape(
        hibernate_at_cron=one.hibernate_at,
        wake_at_cron=one.wake_at,
        time_zone=one.time_zone,
        description=one.description,
        is_enabled=one.is_enabled,
    )


def _event(deployment: Hibernating) -> str:
    return "WAKE" if deployment.is_hibernating else "HIBERNATE"
