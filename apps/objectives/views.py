from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.deployments.models import Deployment, Phase
from apps.objectives import services
from apps.objectives.csv_file import csv_of
from apps.objectives.forms import ObjectiveForm, TargetForm
from apps.objectives.models import Objective
from apps.objectives.queries import SEE, Place, Row, objectives_in, rows_of, with_days
from apps.organizations.models import Organization, Workspace

EDIT = "workspace.alerts.manage"
PAGE_SIZE = 25
WORDS = {
    "unknown": ("idle", "unknown", "No runs yet"),
    "kept": ("good", "good", "Kept"),
    "low": ("warn", "warn", "Nearly spent"),
    "spent": ("bad", "bad", "Spent"),
}
# How far apart days stand in the drawing.
STEP = 6


@scoped(Organization, "organization.view", by="slug")
@require_safe
def organization_objectives(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _list(request, organization)


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def objectives(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return _list(request, workspace)


@scoped(Organization, "organization.view", by="slug")
@require_safe
def organization_csv(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _file(request, organization)


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def workspace_csv(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return _file(request, workspace)


def _list(request: HttpRequest, place: Place) -> HttpResponse:
    now = timezone.now()
    found = _found(request, place)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "place": place,
        "is_workspace": isinstance(place, Workspace),
        "can_edit": isinstance(place, Workspace) and request.user.has_perm(EDIT, place),
        "search": request.GET.get("q", "").strip(),
        "page": page,
        "rows": [_shown(row) for row in with_days(page.object_list, now=now)],
        "n_spent": sum(row.budget.state == "spent" for row in found),
    }
    return render(request, "objectives/objectives.html", context)


def _found(request: HttpRequest, place: Place) -> list[Row]:
    objectives = objectives_in(place=place, user=request_user(request))
    search = request.GET.get("q", "").strip()
    if search:
        objectives = objectives.filter(dag_id__icontains=search)
    return rows_of(objectives, now=timezone.now())


def _file(request: HttpRequest, place: Place) -> HttpResponse:
    return HttpResponse(
        csv_of(_found(request, place)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{place.slug}-objectives.csv"'},
    )


@scoped(Workspace, EDIT, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    user = request_user(request)
    deployments = Deployment.objects.allowing(user, SEE).filter(
        workspace=workspace, phase=Phase.ACTIVE
    )
    form = ObjectiveForm(
        request.POST if request.method == "POST" else None,
        deployments=deployments.order_by("name", "pk"),
        initial={"dag_id": request.GET.get("dag", "")},
    )
    if is_submitted(request, form):
        with errors_shown_in(form):
            objective = services.set_objective(
                actor=user,
                deployment=form.cleaned_data["deployment"],
                dag_id=form.cleaned_data["dag_id"],
                target_percent=form.cleaned_data["target_percent"],
                limit_seconds=form.limit_seconds,
                now=timezone.now(),
            )
            messages.success(request, f"Objective of {objective.dag_id} set.")
            return redirect("objectives:list", slug=workspace.slug)
    return form_page(
        request, "objectives/objective.html", {"workspace": workspace, "form": form}, form
    )


@scoped(Workspace, EDIT, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def objective(request: HttpRequest, workspace: Workspace, objective_id: int) -> HttpResponse:
    found = _one(request, workspace, objective_id)
    minutes = found.limit_seconds // 60 if found.limit_seconds else None
    form = TargetForm(
        request.POST if request.method == "POST" else None,
        initial={"target_percent": found.target_percent, "limit_minutes": minutes},
    )
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.set_objective(
                actor=request_user(request),
                deployment=found.deployment,
                dag_id=found.dag_id,
                target_percent=form.cleaned_data["target_percent"],
                limit_seconds=form.limit_seconds,
                now=timezone.now(),
            )
            messages.success(request, f"Objective of {found.dag_id} saved.")
            return redirect("objectives:list", slug=workspace.slug)
    context = {"workspace": workspace, "form": form, "objective": found}
    return form_page(request, "objectives/objective.html", context, form)


@scoped(Workspace, EDIT, by="slug")
@require_POST
def remove(request: HttpRequest, workspace: Workspace, objective_id: int) -> HttpResponse:
    found = _one(request, workspace, objective_id)
    services.remove_objective(actor=request_user(request), objective=found)
    messages.success(request, f"Objective of {found.dag_id} removed.")
    return redirect("objectives:list", slug=workspace.slug)


def _one(request: HttpRequest, workspace: Workspace, objective_id: int) -> Objective:
    inside = objectives_in(place=workspace, user=request_user(request))
    return get_object_or_404(inside, pk=objective_id)


def _shown(row: Row) -> dict[str, Any]:
    tone, icon, word = WORDS[row.budget.state]
    left = row.budget.left_percent
    return {
        "objective": row.objective,
        "budget": row.budget,
        "tone": tone,
        "icon": icon,
        "word": word,
        "bar": None if left is None else max(0, min(left, 100)),
        **_drawing(row),
        "width": len(row.days) * STEP,
    }


def _drawing(row: Row) -> dict[str, Any]:
    """Return the bars of days: those without a run, and good ones, as one path each, because there
    are many; the others one by one, with what they say.
    """
    days = [
        {"x": place * STEP, "tone": _tone(good, bad), "day": day, "good": good, "bad": bad}
        for place, (day, good, bad) in enumerate(row.days)
    ]
    return {
        "days": [one for one in days if one["tone"] in ("warn", "bad")],
        "idle": "".join(f"M{one['x']} 22h5v2h-5z" for one in days if one["tone"] == "none"),
        "good": "".join(f"M{one['x']} 0h5v24h-5z" for one in days if one["tone"] == "good"),
    }


def _tone(good: int, bad: int) -> str:
    if not good and not bad:
        return "none"
    if not bad:
        return "good"
    return "warn" if good > bad else "bad"
