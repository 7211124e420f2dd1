from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.accounts.signed_in import person_of
from apps.core.gates import signed_in_only
from apps.organizations.models import Organization, Workspace
from apps.organizations.queries import organizations_of, owners_of, workspaces_seen

LAST_WORKSPACE = "last_workspace"


@signed_in_only
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Go to the last workspace, or the only one; otherwise let the person choose."""
    person = person_of(request)
    workspaces = list(workspaces_seen(user=person))
    slugs = [workspace.slug for workspace in workspaces]
    last = request.session.get(LAST_WORKSPACE, "")
    if "choose" not in request.GET and (last in slugs or len(slugs) == 1):
        return redirect("portal:workspace", slug=last if last in slugs else slugs[0])
    organizations = organizations_of(user=person)
    context = {
        "workspaces": workspaces,
        "organizations": organizations,
        "may_create_in": Organization.objects.allowing(
            person, "organization.workspaces.create"
        ).first(),
        "owners": [] if workspaces else owners_of(organizations=organizations),
    }
    return render(request, "portal/home.html", context)


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    if request.session.get(LAST_WORKSPACE) != workspace.slug:
        request.session[LAST_WORKSPACE] = workspace.slug
    return redirect("deployments:list", slug=workspace.slug)
