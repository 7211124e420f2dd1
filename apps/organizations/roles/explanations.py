"""Who has a permission on an object, and through which grants; for one person, why."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.access.effective_grants import effective_grants_on, load_effective_grants
from apps.access.queries import explain_denial
from apps.access.roles.catalogue import PERMISSIONS, SCOPE_WORDS, grouped, permissions_of_scope
from apps.access.scoped import scoped
from apps.access.scopes import Scoped, organization_over
from apps.accounts.request_user import request_user
from apps.organizations.models import Organization, Workspace

PAGE_SIZE = 50
MOST_WORKSPACES = 50


@scoped(Organization, "organization.members.view", by="slug")
@require_safe
def of_organization(request: HttpRequest, organization: Organization) -> HttpResponse:
    back = reverse("organizations:members", args=[organization.slug])
    return explanation(request, organization, back_url=back)


@scoped(Workspace, "workspace.members.view", by="slug")
@require_safe
def of_workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    back = reverse("organizations:workspace_members", args=[workspace.slug])
    return explanation(request, workspace, back_url=back)


def explanation(request: HttpRequest, on: Scoped, *, back_url: str) -> HttpResponse:
    """Render the page for any object that roles are held on. The caller has checked that the reader
    may see who has access to it.
    """
    scope = type(on).access_scope
    askable = permissions_of_scope(scope)
    asked = request.GET.get("permission", "")
    permission = asked if asked in askable else f"{scope}.view"
    search = request.GET.get("q", "").strip()[:100]
    rows = effective_grants_on(permission=permission, on=on, search=search)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "on": on,
        "scope_word": SCOPE_WORDS[scope],
        "organization": organization_over(on),
        "permission": permission,
        "action": PERMISSIONS[permission],
        "choices": [
            {"title": title, "options": [(one, PERMISSIONS[one]) for one in of_group]}
            for title, of_group in grouped(askable).items()
        ],
        "search": search,
        "page_obj": page,
        "ways": load_effective_grants(on=on, rows=page.object_list),
        "denial": explain_denial(permission=permission, on=on),
        "back_url": back_url,
        "workspaces": _workspaces_of(request, on),
    }
    return render(request, "organizations/roles/who.html", context)


def _workspaces_of(request: HttpRequest, on: Scoped) -> list[Workspace]:
    """List the workspaces to switch to: roles there do not count above."""
    if not isinstance(on, Organization):
        return []
    seen = Workspace.objects.visible_to(request_user(request)).filter(organization=on)
    return list(seen.order_by("name")[:MOST_WORKSPACES])
