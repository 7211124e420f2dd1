from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.errors import PortalError
from apps.organizations.models import Workspace
from apps.portal.queries import deployments_in
from apps.portal.services import delete_workspace

MOST_SHOWN = 20


@scoped(Workspace, "workspace.delete", by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    error = ""
    if request.method == "POST":
        typed = request.POST.get("confirm", "").strip()
        try:
            delete_workspace(actor=request_user(request), workspace=workspace, typed_name=typed)
        except PortalError as refusal:
            error = refusal.message
        else:
            messages.success(request, f"Workspace {workspace} is deleted.")
            return redirect("portal:home")
    there = deployments_in(workspace=workspace)
    context = {
        "workspace": workspace,
        "deployments": there[:MOST_SHOWN],
        "deployment_count": there.count(),
        "error": error,
    }
    return render(request, "portal/delete_workspace.html", context, status=422 if error else 200)
