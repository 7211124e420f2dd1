from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import require, scoped
from apps.accounts.request_user import request_user
from apps.airflow_imports import services
from apps.airflow_imports.forms import CreateForm, ImportForm
from apps.airflow_imports.models import UNFINISHED, AirflowImport, ImportState
from apps.airflow_imports.queries import imports_of, report_of, runtimes_for, what_is_missing
from apps.airflow_imports.source.options import sorted_by_fate
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.core.web.htmx import is_fragment
from apps.deployments.models import Phase
from apps.organizations.models import Workspace

CREATE, RUN = "workspace.deployments.create", "deployment.airflow.run"
POLL_SECONDS = 2
TONES = {
    ImportState.WAITING: "move",
    ImportState.RUNNING: "move",
    ImportState.READY: "good",
    ImportState.FAILED: "bad",
    ImportState.USED: "idle",
}


@scoped(Workspace, CREATE, by="slug")
@require_safe
def imports(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    rows = [{"one": one, "tone": TONES[ImportState(one.state)]} for one in imports_of(workspace)]
    return render(request, "airflow_imports/list.html", {"workspace": workspace, "rows": rows})


@scoped(Workspace, CREATE, by="slug")
@sensitive_post_parameters("password", "fernet_key", "options")
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    is_posted = request.method == "POST"
    form = ImportForm(
        request.POST if is_posted else None,
        request.FILES if is_posted else None,
        problem=getattr(request, "upload_problem", ""),
    )
    if is_submitted(request, form):
        with errors_shown_in(form):
            made = services.begin_import(
                actor=request_user(request), workspace=workspace, data=form.data_entered()
            )
            return redirect("airflow_imports:detail", workspace.slug, made.pk)
    context = {"workspace": workspace, "form": form, "missing": what_is_missing(workspace)}
    return form_page(request, "airflow_imports/new.html", context, form)


@scoped(Workspace, CREATE, by="slug")
@require_safe
def detail(request: HttpRequest, workspace: Workspace, import_id: UUID) -> HttpResponse:
    context = _context(request, _found(workspace, import_id))
    part = "_progress" if is_fragment(request) else "detail"
    response = render(request, f"airflow_imports/{part}.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@scoped(Workspace, CREATE, by="slug")
@require_POST
def create(request: HttpRequest, workspace: Workspace, import_id: UUID) -> HttpResponse:
    row = _found(workspace, import_id)
    form = CreateForm(request.POST, workspace=workspace, runtimes=_runtimes(row))
    if is_submitted(request, form):
        with errors_shown_in(form):
            operation = services.create_from_import(
                actor=request_user(request), row=row, **form.cleaned_data
            )
            return redirect("deployments:operation", operation.deployment.ref, operation.number)
    context = _context(request, row) | {"form": form}
    return form_page(request, "airflow_imports/detail.html", context, form)


@scoped(Workspace, CREATE, by="slug")
@require_POST
def unpause(request: HttpRequest, workspace: Workspace, import_id: UUID) -> HttpResponse:
    row = _found(workspace, import_id)
    if row.deployment is not None:
        require(user=request.user, permission=RUN, on=row.deployment)
    with errors_as_messages(request):
        services.request_unpause(actor=request_user(request), row=row)
        messages.success(request, "The DAGs are being unpaused.")
    return redirect("airflow_imports:detail", workspace.slug, row.pk)


@scoped(Workspace, CREATE, by="slug")
@require_POST
def remove(request: HttpRequest, workspace: Workspace, import_id: UUID) -> HttpResponse:
    row = _found(workspace, import_id)
    with errors_as_messages(request):
        services.remove_import(actor=request_user(request), row=row)
        messages.success(request, f"What was read of {row} is removed.")
        return redirect("airflow_imports:list", workspace.slug)
    return redirect("airflow_imports:detail", workspace.slug, row.pk)


def _found(workspace: Workspace, import_id: UUID) -> AirflowImport:
    return get_object_or_404(imports_of(workspace), pk=import_id)


def _runtimes(row: AirflowImport) -> list[Any]:
    return runtimes_for(row.airflow_version) if row.airflow_version else []


def _context(request: HttpRequest, row: AirflowImport) -> dict[str, Any]:
    deployment, runtimes = row.deployment, _runtimes(row)
    is_there = deployment is not None and deployment.phase == Phase.ACTIVE
    is_unpausing = "asked" in row.unpause and "done" not in row.unpause
    target = runtimes[0].airflow_version if runtimes else ""
    is_ready = row.state == ImportState.READY
    return {
        "workspace": row.workspace,
        "one": row,
        "tone": TONES[ImportState(row.state)],
        "is_unfinished": row.state in UNFINISHED or is_unpausing,
        "is_unpausing": is_unpausing,
        "poll_seconds": POLL_SECONDS,
        "found": report_of(row) if row.report else None,
        "fates": sorted_by_fate(row.options, target) if row.options and target else None,
        "target": target,
        "form": CreateForm(workspace=row.workspace, runtimes=runtimes) if is_ready else None,
        "missing": what_is_missing(row.workspace) if is_ready else "",
        "deployment": deployment if is_there else None,
        "can_run": is_there and request.user.has_perm(RUN, deployment),
        "failed": list(row.unpause.get("failed", {}).items()),
    }
