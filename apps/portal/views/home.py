from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.gates import signed_in_only
from apps.organizations.members.queries import owners_of
from apps.organizations.models import Organization, Workspace
from apps.organizations.workspaces.queries import organizations_of, workspaces_seen
from apps.portal.views.overview import overview


@signed_in_only
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    person = request_user(request)
    organizations = organizations_of(user=person)
    context = overview(request, workspaces=workspaces_seen(user=person))
    is_empty = not context.get("workspaces", True)
    context |= {
        "organizations": organizations,
        "may_create_in": Organization.objects.allowing(
            person, "organization.workspaces.create"
        ).first(),
        "owners": owners_of(organizations=organizations) if is_empty else [],
    }
    return render(request, "portal/home.html", context)


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return redirect("deployments:list", slug=workspace.slug)
