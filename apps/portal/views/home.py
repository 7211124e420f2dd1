from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.gates import signed_in_only
from apps.organizations.models import Organization, Workspace
from apps.organizations.queries import organizations_of, owners_of, workspaces_seen

LAST_WORKSPACE = "last_workspace"
PAGE_SIZE = 50


@signed_in_only
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Go to the last workspace, or the only one; otherwise let the person choose."""
    person = request_user(request)
    seen = workspaces_seen(user=person)
    chosen = None if "choose" in request.GET else _last_or_only(request, seen)
    if chosen is not None:
        return redirect("portal:workspace", slug=chosen.slug)
    page = Paginator(seen, PAGE_SIZE).get_page(request.GET.get("page"))
    organizations = organizations_of(user=person)
    context = {
        "page_obj": page,
        "organizations": organizations,
        "may_create_in": Organization.objects.allowing(
            person, "organization.workspaces.create"
        ).first(),
        "owners": [] if page.object_list else owners_of(organizations=organizations),
    }
    return render(request, "portal/home.html", context)


def _last_or_only(request: HttpRequest, seen: QuerySet[Workspace]) -> Workspace | None:
    last = seen.filter(slug=request.session.get(LAST_WORKSPACE, "")).first()
    if last is not None:
        return last
    first_two = list(seen[:2])
    return first_two[0] if len(first_two) == 1 else None


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    if request.session.get(LAST_WORKSPACE) != workspace.slug:
        request.session[LAST_WORKSPACE] = workspace.slug
    return redirect("deployments:list", slug=workspace.slug)
