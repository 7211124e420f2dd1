from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import PortalError
from apps.deployments.models import Deployment
from apps.moving.transferring.queries import preview_transfer, workspaces_to_transfer_to
from apps.moving.transferring.services import LEAVE, transfer_deployment
from apps.organizations.models import Workspace


@scoped(Deployment, LEAVE, by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
@fresh_sign_in
def transfer(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    """Choose a workspace, see what changes, transfer."""
    user, error = request_user(request), ""
    workspaces = workspaces_to_transfer_to(user=user, deployment=deployment)
    chosen = _chosen(request, workspaces)
    if request.method == "POST" and chosen is None:
        error = "Choose a workspace in which you may create Deployments."
    elif request.method == "POST" and chosen:
        try:
            transfer_deployment(actor=user, deployment=deployment, workspace=chosen)
        except PortalError as problem:
            error = problem.message
            deployment.refresh_from_db()
        else:
            messages.success(request, f"{deployment.name} is in {chosen} now.")
            return redirect("deployments:overview", deployment.ref)
    context = {
        "deployment": deployment,
        "workspaces": workspaces,
        "chosen": chosen,
        "error": error,
        "preview": preview_transfer(user=user, deployment=deployment, workspace=chosen)
        if chosen
        else None,
    }
    return render(request, "moving/transfer.html", context, status=409 if error else 200)


def _chosen(request: HttpRequest, workspaces: list[Workspace]) -> Workspace | None:
    """Return the workspace that was chosen, None for one that is not offered."""
    asked = request.POST if request.method == "POST" else request.GET
    return next((one for one in workspaces if one.slug == asked.get("workspace")), None)
