from datetime import datetime, timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.dataplane.hibernation.plans import HibernationPlan, Schedule
from apps.dataplane.hibernation.turns import active_override
from apps.deployments.badge import display_status
from apps.deployments.editing.hibernating import hibernate, stay_awake, wake
from apps.deployments.editing.plans import plan_of
from apps.deployments.models import Deployment, Operation, Phase
from apps.hibernation import services
from apps.hibernation.asleep import deadlines_asleep, planned_spans
from apps.hibernation.forms import (
    HibernateForm,
    LimitsForm,
    ScheduleForm,
    WakeForm,
    in_zone,
)
from apps.hibernation.queries import missed_runs, sleeps_of, slept_seconds, tasks_now

VIEW, UPDATE = "deployment.view", "deployment.update"
SHOWN = 10
DAY, WEEK = timedelta(days=1), timedelta(days=7)


@scoped(Deployment, VIEW, by="ref")
@require_safe
def overview(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    now, plan = timezone.now(), plan_of(deployment)
    sleeps = list(sleeps_of(deployment)[:SHOWN])
    context = {
        "deployment": deployment,
        "status": display_status(deployment),
        "plan": plan,
        "override": active_override(plan, now),
        "turn_words": _turn_words(deployment, plan),
        "schedules": list(enumerate(plan.schedules, start=1)),
        "sleeps": [(one, slept_seconds([one], begin=one.began_at, end=now)[0]) for one in sleeps],
        "can_update": request.user.has_perm(UPDATE, deployment),
        "is_active": deployment.phase == Phase.ACTIVE,
        "has_more": len(plan.schedules) < services.MOST_SCHEDULES,
        "deadlines": deadlines_asleep(deployment, planned_spans(plan, begin=now, end=now + WEEK)),
    }
    return render(request, "hibernation/overview.html", context)


@scoped(Deployment, UPDATE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def hibernate_page(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    form, now = HibernateForm(request.POST if request.method == "POST" else None), timezone.now()
    if is_submitted(request, form):
        with errors_shown_in(form):
            operation = hibernate(
                actor=request_user(request), deployment=deployment, until=form.end(now), now=now
            )
            return _followed(deployment, operation)
    plan = plan_of(deployment)
    context = {
        "deployment": deployment,
        "form": form,
        "plan": plan,
        "tasks": tasks_now(deployment),
        "missed": missed_runs(deployment, now=now, until=now + DAY),
        "of_a_day": True,
        "deadlines": deadlines_asleep(deployment, [(now, now + WEEK)]),
    }
    return form_page(request, "hibernation/hibernate.html", context, form)


@scoped(Deployment, UPDATE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def wake_page(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    form, now = WakeForm(request.POST if request.method == "POST" else None), timezone.now()
    if is_submitted(request, form):
        with errors_shown_in(form):
            return _followed(deployment, _wake(request, deployment, form, now))
    since = sleeps_of(deployment).filter(ended_at=None).first()
    missed = None
    if since is not None:
        missed = missed_runs(deployment, now=since.began_at, until=now)
    context = {"deployment": deployment, "form": form, "missed": missed}
    return form_page(request, "hibernation/wake.html", context, form)


@scoped(Deployment, UPDATE, by="ref")
@require_POST
def follow(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    with errors_as_messages(request):
        services.follow_schedules(
            actor=request_user(request), deployment=deployment, now=timezone.now()
        )
        messages.success(request, "The schedules hold again.")
    return redirect("hibernation:overview", deployment.ref)


@scoped(Deployment, UPDATE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def limits(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    plan = plan_of(deployment)
    initial = {"task_minutes": plan.task_minutes, "idle_hours": plan.idle_hours}
    form = LimitsForm(request.POST if request.method == "POST" else None, initial=initial)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.set_limits(
                actor=request_user(request),
                deployment=deployment,
                now=timezone.now(),
                **form.cleaned_data,
            )
            messages.success(request, "The limits are saved.")
            return redirect("hibernation:overview", deployment.ref)
    context = {"deployment": deployment, "form": form, "title": "Limits"}
    return form_page(request, "hibernation/form.html", context, form)


@scoped(Deployment, UPDATE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def new_schedule(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    form = ScheduleForm(request.POST if request.method == "POST" else None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.add_schedule(
                actor=request_user(request),
                deployment=deployment,
                schedule=form.schedule,
                now=timezone.now(),
            )
            messages.success(request, "The schedule is saved.")
            return redirect("hibernation:overview", deployment.ref)
    return _schedule_page(request, deployment, form, "New hibernation schedule")


@scoped(Deployment, UPDATE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    known = _schedule(deployment, number)
    form = ScheduleForm(request.POST if request.method == "POST" else None, schedule=known)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.change_schedule(
                actor=request_user(request),
                deployment=deployment,
                before=known,
                after=form.schedule,
                now=timezone.now(),
            )
            messages.success(request, "The schedule is saved.")
            return redirect("hibernation:overview", deployment.ref)
    return _schedule_page(request, deployment, form, "Hibernation schedule")


@scoped(Deployment, UPDATE, by="ref")
@require_POST
def remove_schedule(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    with errors_as_messages(request):
        services.change_schedule(
            actor=request_user(request),
            deployment=deployment,
            before=_schedule(deployment, number),
            after=None,
            now=timezone.now(),
        )
        messages.success(request, "The schedule is removed.")
    return redirect("hibernation:overview", deployment.ref)


def _schedule_page(
    request: HttpRequest, deployment: Deployment, form: ScheduleForm, title: str
) -> HttpResponse:
    now = timezone.now()
    context = {
        "deployment": deployment,
        "form": form,
        "title": title,
        "deadlines": deadlines_asleep(deployment, [(now, now + WEEK)]),
    }
    return form_page(request, "hibernation/form.html", context, form)


def _wake(
    request: HttpRequest, deployment: Deployment, form: WakeForm, now: datetime
) -> Operation | None:
    actor = request_user(request)
    if form.is_for_good:
        return stay_awake(actor=actor, deployment=deployment, now=now)
    return wake(actor=actor, deployment=deployment, now=now, until=form.end(now))


def _followed(deployment: Deployment, operation: Operation | None) -> HttpResponse:
    if operation is None:
        return redirect("hibernation:overview", deployment.ref)
    return redirect("deployments:operation", deployment.ref, operation.number)


def _schedule(deployment: Deployment, number: int) -> Schedule:
    schedules = plan_of(deployment).schedules
    if not 1 <= number <= len(schedules):
        raise Http404
    return schedules[number - 1]


def _turn_words(deployment: Deployment, plan: HibernationPlan) -> str:
    """Say when it turns next, in the time zone of its first schedule."""
    at = deployment.hibernation_turns_at
    if at is None:
        return ""
    zone = plan.schedules[0].time_zone if plan.schedules else "UTC"
    return in_zone(at, zone)
