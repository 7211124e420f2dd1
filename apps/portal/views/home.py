from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.core.gates import signed_in_only
from apps.organizations.models import Workspace
from apps.organizations.queries import organizations_of, owners_of, workspaces_seen

LAST_WORKSPACE = "last_workspace"


@signed_in_only
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    workspaces = list(workspaces_seen(user=request.user))
    slugs = [workspace.slug for workspace in workspaces]
    last = request.session.get(LAST_WORKSPACE, "")
    if last in slugs and "choose" not in request.GET:
        return redirect("portal:workspace", slug=last)
    if len(slugs) == 1 and "choose" not in request.GET:
        return redirect("portal:workspace", slug=slugs[0])
    context = {"workspaces": workspaces, "organizations": organizations_of(user=request.user)}
    if not workspaces:
        context["owners"] = owners_of(organizations=context["organizations"])
    return render(request, "portal/home.html", context)


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    if request.session.get(LAST_WORKSPACE) != workspace.slug:
        request.session[LAST_WORKSPACE] = workspace.slug
    return redirect("deployments:list", slug=workspace.slug)
