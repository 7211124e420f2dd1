from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.errors import PortalError
from apps.core.web.htmx import is_fragment
from apps.deployments.models import Deployment, Phase
from apps.deploys.deliveries.queries import current_deploy
from apps.deploys.deliveries.services import Delivery
from apps.deploys.models import Preview, PreviewState
from apps.deploys.previews import services
from apps.deploys.previews.queries import comparison, origin_of, steps_of
from apps.deploys.uploading.forms import DecisionForm

SEE, DELIVER = "deployment.deploys.view", "deployment.deploys.create"
POLL_SECONDS = 2


@scoped(Deployment, SEE, by="ref", writing=DELIVER)
@require_http_methods(["GET", "HEAD", "POST"])
def preview(request: HttpRequest, deployment: Deployment, number: int) -> HttpResponse:
    shown = get_object_or_404(
        Preview.objects.select_related("created_by", "base", "deploy"),
        deployment=deployment,
        number=number,
    )
    # The gate has loaded it with all above it, and the page asks for them.
    shown.deployment = deployment
    if request.method != "POST":
        return _page(request, shown, DecisionForm())
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _page(request, shown, form, status=422)
    try:
        return _decided(request, shown, form.cleaned_data)
    except services.PreviewOutdated as outdated:
        services.check_again(preview=shown)
        messages.warning(request, outdated.message)
    except PortalError as error:
        form.add_error(None, error.message)
        shown.refresh_from_db(fields=["state"])
        return _page(request, shown, form, status=422)
    return redirect("deploys:preview", deployment.ref, number)


def to_operation(request: HttpRequest, deployment: Deployment, delivery: Delivery) -> HttpResponse:
    for note in delivery.notes:
        messages.info(request, note)
    if delivery.operation is None:
        return redirect("deploys:detail", deployment.ref, delivery.deploy.number)
    return redirect("deployments:operation", deployment.ref, delivery.operation.number)


def _decided(request: HttpRequest, shown: Preview, decision: dict[str, Any]) -> HttpResponse:
    ref = shown.deployment.ref
    if decision["action"] == "discard":
        services.discard(preview=shown)
        messages.info(request, "The upload was discarded. Nothing has changed.")
        return redirect("deploys:list", ref)
    if decision["action"] == "again":
        services.check_again(preview=shown)
        return redirect("deploys:preview", ref, shown.number)
    delivery = services.confirm(
        actor=request_user(request),
        preview=shown,
        accepts_errors=decision["accepts_errors"],
        description=decision["description"],
    )
    return to_operation(request, shown.deployment, delivery)


def _page(
    request: HttpRequest, shown: Preview, form: DecisionForm, status: int = 200
) -> HttpResponse:
    deployment = shown.deployment
    may_deliver = deployment.phase == Phase.ACTIVE and request.user.has_perm(DELIVER, deployment)
    is_ready = shown.state in (PreviewState.READY, PreviewState.DEPLOYED)
    context = {
        "preview": shown,
        "origin": origin_of(shown),
        "deployment": deployment,
        "form": form,
        "comparison": comparison(shown) if is_ready else None,
        "steps": steps_of(shown),
        "current": current_deploy(deployment),
        "is_live": shown.state == PreviewState.CHECKING,
        "poll_seconds": POLL_SECONDS,
        "is_fragment": is_fragment(request),
        "may_deliver": may_deliver,
        "denial": denial_for(user=request.user, permission=DELIVER, on=deployment),
        "list_url": reverse("deploys:list", args=[deployment.ref]),
    }
    name = "_preview" if is_fragment(request) else "preview"
    return render(request, f"deploys/previews/{name}.html", context, status=status)
