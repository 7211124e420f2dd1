from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import require, scoped
from apps.accounts.request_user import request_user
from apps.backups import services
from apps.backups.forms import BackUpForm, NewDeploymentForm, ScheduleForm
from apps.backups.models import Backup, BackupSchedule, BackupState
from apps.backups.queries import backups_of, runtimes_to_restore, total_size, unfinished_of
from apps.backups.restoring import lost_variables, restore_as_new, restore_backup, why_unusable
from apps.core.errors import Invalid, PortalError
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.core.web.htmx import is_fragment
from apps.deployments.models import Deployment, Phase

VIEW, UPDATE, DELETE = "deployment.view", "deployment.update", "deployment.delete"
CREATE = "workspace.deployments.create"
PAGE_SIZE = 50
POLL_SECONDS = 2
KEPT_AFTER_DELETION = 30
TONES = {
    BackupState.WAITING: "move",
    BackupState.RUNNING: "move",
    BackupState.DONE: "good",
    BackupState.FAILED: "bad",
}
LOST = (
    "Everything that Airflow's database learned since the backup: runs, task states, XComs, and "
    "changes of connections, variables and pools. Tasks that run now fail."
)
KEPT = "Revisions, operations, task logs, and all backups. This becomes a new revision."


@scoped(Deployment, VIEW, by="ref", writing=UPDATE)
@require_http_methods(["GET", "HEAD", "POST"])
def backups(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    form = BackUpForm(request.POST if request.method == "POST" else None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.request_backup(
                actor=request_user(request), deployment=deployment, keep_days=form.days
            )
            messages.success(request, "The backup has begun.")
            return redirect("backups:list", deployment.ref)
    context = _list_context(request, deployment) | {"form": form}
    is_part = is_fragment(request) and request.method != "POST"
    response = form_page(request, f"backups/{'_list' if is_part else 'list'}.html", context, form)
    patch_vary_headers(response, ["HX-Request"])
    return response


@scoped(Deployment, UPDATE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    known = BackupSchedule.objects.filter(pk=deployment.pk).first()
    form = ScheduleForm(request.POST if request.method == "POST" else None, schedule=known)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.save_schedule(
                actor=request_user(request), deployment=deployment, **form.cleaned_data
            )
            messages.success(request, "Backups are made on schedule from now on.")
            return redirect("backups:list", deployment.ref)
    context = {"deployment": deployment, "form": form, "schedule": known}
    return form_page(request, "backups/schedule.html", context, form)


@scoped(Deployment, UPDATE, by="ref")
@require_POST
def remove_schedule(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    with errors_as_messages(request):
        services.remove_schedule(actor=request_user(request), deployment=deployment)
        messages.success(request, "No more backups are made on schedule.")
    return redirect("backups:list", deployment.ref)


@scoped(Deployment, VIEW, by="ref")
@require_safe
def detail(request: HttpRequest, deployment: Deployment, backup_id: UUID) -> HttpResponse:
    backup = _backup(deployment, backup_id)
    return render(request, "backups/detail.html", _detail_context(request, backup))


@scoped(Deployment, UPDATE, by="ref")
@require_POST
def restore(request: HttpRequest, deployment: Deployment, backup_id: UUID) -> HttpResponse:
    backup = _backup(deployment, backup_id)
    try:
        operation = restore_backup(
            actor=request_user(request),
            backup=backup,
            typed_name=request.POST.get("confirm", ""),
        )
    except PortalError as error:
        status = 422 if isinstance(error, Invalid) else 409
        context = _detail_context(request, backup) | {"error": error.message}
        return render(request, "backups/detail.html", context, status=status)
    return redirect("deployments:operation", deployment.ref, operation.number)


@scoped(Deployment, CREATE, by="ref")
@require_POST
def restore_new(request: HttpRequest, deployment: Deployment, backup_id: UUID) -> HttpResponse:
    backup = _backup(deployment, backup_id)
    # Connections and secrets of this Deployment go with it.
    require(user=request.user, permission=UPDATE, on=deployment)
    form = _new_form(backup, request.POST)
    if is_submitted(request, form):
        with errors_shown_in(form):
            operation = restore_as_new(
                actor=request_user(request), backup=backup, **form.cleaned_data
            )
            return redirect("deployments:operation", operation.deployment.ref, operation.number)
    context = _detail_context(request, backup) | {"form": form}
    return form_page(request, "backups/detail.html", context, form)


@scoped(Deployment, DELETE, by="ref")
@require_POST
def remove(request: HttpRequest, deployment: Deployment, backup_id: UUID) -> HttpResponse:
    with errors_as_messages(request):
        services.remove_backup(actor=request_user(request), backup=_backup(deployment, backup_id))
        messages.success(request, "The backup is removed.")
    return redirect("backups:list", deployment.ref)


@scoped(Deployment, DELETE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def then_delete(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    """Back up a Deployment, and delete it when that is complete."""
    error, status = "", 200
    if request.method == "POST":
        error, status = _request_last_backup(request, deployment)
        if not error:
            messages.success(request, "The Deployment is deleted when its backup is complete.")
            return redirect("backups:list", deployment.ref)
    context = {
        "deployment": deployment,
        "error": error,
        "problem": services.why_not(deployment),
        "days_words": f"{KEPT_AFTER_DELETION} days",
        "verb": f"Back up and delete {deployment.name}",
    }
    return render(request, "backups/then_delete.html", context, status=status)


def _request_last_backup(request: HttpRequest, deployment: Deployment) -> tuple[str, int]:
    if request.POST.get("confirm", "").strip() != deployment.name:
        return f"Type {deployment.name} to delete it.", 422
    try:
        services.request_backup(
            actor=request_user(request),
            deployment=deployment,
            reason=Backup.Reason.DELETION,
            keep_days=KEPT_AFTER_DELETION,
            then_deletes=True,
        )
    except PortalError as error:
        return error.message, 409
    return "", 200


def _backup(deployment: Deployment, backup_id: UUID) -> Backup:
    rows = Backup.objects.select_related(
        "created_by",
        "revision",
        "store",
        "deployment__workspace__organization",
        "deployment__cluster",
    )
    return get_object_or_404(rows, deployment=deployment, pk=backup_id)


def _list_context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    page = Paginator(backups_of(deployment), PAGE_SIZE).get_page(request.GET.get("page"))
    known = BackupSchedule.objects.filter(pk=deployment.pk).first()
    return {
        "deployment": deployment,
        "page": page,
        "rows": [{"backup": one, "tone": TONES[BackupState(one.state)]} for one in page],
        "total_bytes": total_size(deployment),
        "schedule": known,
        "schedule_words": services.in_words(known) if known else "",
        "problem": services.why_not(deployment),
        "is_active": deployment.phase == Phase.ACTIVE,
        "is_unfinished": unfinished_of(deployment) is not None,
        "poll_seconds": POLL_SECONDS,
        "can_update": request.user.has_perm(UPDATE, deployment),
    }


def _new_form(backup: Backup, data: Any = None) -> NewDeploymentForm:
    own = backup.revision.configuration.runtime if backup.revision else ""
    return NewDeploymentForm(data, runtimes=runtimes_to_restore(backup), own=own)


def _detail_context(request: HttpRequest, backup: Backup) -> dict[str, Any]:
    deployment = backup.deployment
    is_done = backup.state == BackupState.DONE
    return {
        "deployment": deployment,
        "backup": backup,
        "tone": TONES[BackupState(backup.state)],
        "is_done": is_done,
        "unusable": why_unusable(backup) if is_done else "",
        "is_active": deployment.phase == Phase.ACTIVE,
        "lost": LOST,
        "kept": KEPT,
        "verb": "Restore this backup",
        "lost_variables": lost_variables(backup),
        "form": _new_form(backup),
        "can_update": request.user.has_perm(UPDATE, deployment),
        "can_create": request.user.has_perm(CREATE, deployment.workspace),
        "can_remove": request.user.has_perm(DELETE, deployment),
    }
