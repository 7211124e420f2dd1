from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.core.web.htmx import is_fragment
from apps.deployments.models import Deployment, Phase
from apps.upgrades import services
from apps.upgrades.forms import ConfirmForm, TargetForm
from apps.upgrades.models import OPEN, Upgrade, UpgradeState

VIEW, UPDATE = "deployment.view", "deployment.update"
POLL_SECONDS = 3
SHOWN = 20
TONES = {
    UpgradeState.CHECKING: "move",
    UpgradeState.READY: "good",
    UpgradeState.WAITING: "idle",
    UpgradeState.BACKING_UP: "move",
    UpgradeState.APPLYING: "move",
    UpgradeState.DONE: "good",
    UpgradeState.FAILED: "bad",
    UpgradeState.CANCELLED: "idle",
}
CANCELLABLE = (UpgradeState.CHECKING, UpgradeState.READY, UpgradeState.WAITING)


@scoped(Deployment, VIEW, by="ref", writing=UPDATE)
@require_http_methods(["GET", "HEAD", "POST"])
def upgrades(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    targets = services.targets_of(deployment)
    form = TargetForm(request.POST if request.method == "POST" else None, targets=targets)
    if is_submitted(request, form):
        with errors_shown_in(form):
            made = services.begin_check(
                actor=request_user(request),
                deployment=deployment,
                target=form.cleaned_data["target"],
            )
            return redirect("upgrades:upgrade", deployment.ref, made.number)
    found = deployment.upgrades.select_related("created_by").order_by("-number")[:SHOWN]
    context = {
        "deployment": deployment,
        "form": form,
        "targets": targets,
        "present": services.runtime_of(deployment),
        "rows": [{"upgrade": one, "tone": TONES[UpgradeState(one.state)]} for one in found],
        "is_active": deployment.phase == Phase.ACTIVE,
        "can_update": request.user.has_perm(UPDATE, deployment),
    }
    return form_page(request, "upgrades/upgrades.html", context, form)


@scoped(Deployment, VIEW, by="ref", writing=UPDATE)
@require_http_methods(["GET", "HEAD", "POST"])
def upgrade(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    shown = _upgrade(deployment, number)
    form = ConfirmForm(request.POST if request.method == "POST" else None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.confirm(
                actor=request_user(request),
                upgrade=shown,
                starts_at=form.cleaned_data["starts_at"],
            )
            messages.success(request, "The upgrade is confirmed.")
            return redirect("upgrades:upgrade", deployment.ref, number)
    context = _context(request, shown) | {"form": form}
    is_part = is_fragment(request) and request.method != "POST"
    template = "upgrades/_upgrade.html" if is_part else "upgrades/upgrade.html"
    response = form_page(request, template, context, form)
    patch_vary_headers(response, ["HX-Request"])
    return response


@scoped(Deployment, UPDATE, by="ref")
@require_POST
def cancel(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    with errors_as_messages(request):
        services.cancel(actor=request_user(request), upgrade=_upgrade(deployment, number))
        messages.success(request, "The upgrade is cancelled.")
    return redirect("upgrades:upgrade", deployment.ref, number)


def _upgrade(deployment: Deployment, number: int) -> Upgrade:
    rows = Upgrade.objects.select_related(
        "created_by", "confirmed_by", "operation", "deployment__workspace__organization"
    )
    rows = rows.select_related("backup").defer("backup__sealed")
    return get_object_or_404(rows, deployment=deployment, number=number)


def _context(request: HttpRequest, shown: Upgrade) -> dict[str, Any]:
    return {
        "deployment": shown.deployment,
        "upgrade": shown,
        "tone": TONES[UpgradeState(shown.state)],
        "is_ready": shown.state == UpgradeState.READY,
        "can_cancel": shown.state in CANCELLABLE,
        "is_live": shown.state in OPEN and shown.state != UpgradeState.READY,
        "poll_seconds": POLL_SECONDS,
        "can_update": request.user.has_perm(UPDATE, shown.deployment),
    }
