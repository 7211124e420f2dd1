from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.errors import PortalError
from apps.core.web.htmx import is_fragment, skip_unchanged
from apps.core.words import duration_in_words
from apps.deployments.editing.drift import put_back
from apps.deployments.editing.restarting import restart
from apps.deployments.editing.services import retry
from apps.deployments.models import Deployment, Operation, OperationState, Phase, Revision
from apps.deployments.pages.queries import (
    observation_of,
    operations_of,
    restore_refusals,
    steps_for_page,
    usual_time,
)

TONES = {
    OperationState.RUNNING: "move",
    OperationState.SUCCEEDED: "good",
    OperationState.FAILED: "bad",
    OperationState.SUPERSEDED: "idle",
}
POLL_SECONDS = 2
PAGE_SIZE = 50


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def operations(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    page = Paginator(operations_of(deployment), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "deployment": deployment,
        "page": page,
        "rows": operation_rows(page.object_list),
    }
    return render(request, "deployments/operations/operations.html", context)


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def operation(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    found = operations_of(deployment)
    shown = get_object_or_404(found.select_related("actor", "revision__deployment"), number=number)
    context = _context(request, deployment, shown)
    template = (
        "deployments/operations/_operation.html"
        if is_fragment(request)
        else "deployments/operations/operation.html"
    )
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


@scoped(Deployment, "deployment.update", by="ref")
@require_POST
def try_again(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    try:
        started = retry(actor=request_user(request), deployment=deployment)
    except PortalError as error:
        messages.error(request, error.message)
        return redirect("deployments:overview", deployment.ref)
    return redirect("deployments:operation", deployment.ref, started.number)


@scoped(Deployment, "deployment.update", by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def restart_page(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    error = ""
    if request.method == "POST":
        try:
            started = restart(actor=request_user(request), deployment=deployment)
        except PortalError as problem:
            error = problem.message
        else:
            return redirect("deployments:operation", deployment.ref, started.number)
    context = {"deployment": deployment, "error": error}
    return render(request, "deployments/restart.html", context, status=409 if error else 200)


@scoped(Deployment, "deployment.update", by="ref")
@require_POST
def revert_drift(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    try:
        started = put_back(actor=request_user(request), deployment=deployment)
    except PortalError as error:
        messages.error(request, error.message)
        return redirect("deployments:overview", deployment.ref)
    return redirect("deployments:operation", deployment.ref, started.number)


def _context(request: HttpRequest, deployment: Deployment, shown: Operation) -> dict[str, Any]:
    now = timezone.now()
    usual = usual_time(cluster=deployment.cluster, kind=shown.kind)
    steps = steps_for_page(operation=shown, usual=usual, now=now)
    is_running = shown.state == OperationState.RUNNING
    settled = sum(1 for step in steps if step["state"] in ("done", "skipped"))
    newest = operations_of(deployment).first()
    is_newest = newest is not None and newest.pk == shown.pk
    return {
        "deployment": deployment,
        "operation": shown,
        "tone": TONES[OperationState(shown.state)],
        "steps": steps,
        "settled": settled,
        "current": min(settled + 1, len(steps)),
        "took": _took(shown, now=now),
        "usual": usual,
        "usual_words": duration_in_words(usual.total or 0),
        "so_far": min((now - shown.started_at).total_seconds(), usual.total or 0),
        "now": now,
        "is_running": is_running,
        "is_fragment": is_fragment(request),
        "is_live": is_running and request.GET.get("live") != "off",
        "poll_seconds": POLL_SECONDS,
        "is_newest": is_newest,
        "can_update": request.user.has_perm("deployment.update", deployment),
        "way_back": way_back(deployment, shown) if is_newest else None,
        "component_with_log": _component_with_log(deployment, shown),
    }


def operation_rows(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """Return operations with the tone and the duration that lists show."""
    return [
        {"operation": one, "tone": TONES[OperationState(one.state)], "took": _took(one)}
        for one in operations
    ]


def _took(shown: Operation, now: Any = None) -> float | None:
    end = shown.ended_at or now
    return (end - shown.started_at).total_seconds() if end else None


def way_back(deployment: Deployment, failed: Operation) -> Revision | None:
    """Return the revision to roll back to after a failed operation; None where there is none, or
    it would be refused.
    """
    applied = deployment.applied
    if failed.state != OperationState.FAILED or applied is None:
        return None
    if deployment.phase != Phase.ACTIVE or applied.pk in (failed.revision_id, deployment.wanted_id):
        return None
    refusals = restore_refusals(deployment, [applied], now=timezone.now())
    return None if refusals[applied.pk] else applied


def _component_with_log(deployment: Deployment, shown: Operation) -> str:
    """Return the component at fault, if its log has a page: an installer's has none."""
    seen = observation_of(deployment)
    names = [component.name for component in seen.components] if seen else []
    return shown.failed_component if shown.failed_component in names else ""
