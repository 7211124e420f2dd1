from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.errors import Invalid, PortalError
from apps.deployments.editing.services import delete_deployment
from apps.deployments.models import Deployment, Phase

LOST = (
    "The metadata database with the history of every run, connections and variables in it; "
    "environment variables and secrets; deployed code; logs; the URL. Running tasks are stopped."
)
KEPT = (
    "The lists of revisions, deploys and operations, and the audit log. "
    "The name is available again afterwards."
)


@scoped(Deployment, "deployment.delete", by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    if deployment.phase == Phase.DELETED:
        return redirect("deployments:overview", deployment.ref)
    error, status = "", 200
    if request.method == "POST":
        typed = request.POST.get("confirm", "").strip()
        try:
            operation = delete_deployment(
                actor=request_user(request), deployment=deployment, typed_name=typed
            )
        except Invalid as problem:
            error, status = problem.message, 422
        except PortalError as problem:
            error, status = problem.message, 409
        else:
            return redirect("deployments:operation", deployment.ref, operation.number)
    context = {
        "deployment": deployment,
        "error": error,
        "verb": f"Delete {deployment.name}",
        "lost": LOST,
        "kept": KEPT,
    }
    return render(request, "deployments/delete.html", context, status=status)
