from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.own_addresses import is_own_address
from apps.deployments.models import Deployment
from apps.organizations.models import Workspace
from apps.portal.services import pin, unpin


@scoped(Deployment, "deployment.view", by="ref")
@require_POST
def pin_deployment(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    return _change(request, deployment)


@scoped(Workspace, "workspace.view", by="slug")
@require_POST
def pin_workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return _change(request, workspace)


def _change(request: HttpRequest, on: Deployment | Workspace) -> HttpResponse:
    """Pin or unpin, and return to the page that asked."""
    if request.POST.get("pinned") == "no":
        unpin(user=request_user(request), on=on)
        messages.success(request, f"{on} is unpinned.")
    else:
        pin(user=request_user(request), on=on)
        messages.success(request, f"{on} is pinned to Home.")
    back = request.POST.get("next", "")
    return redirect(back if back and is_own_address(back) else "portal:home")
