"""Roles of Teams on an organization or a workspace: the pages are the same, the object differs."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.grants.team_grants import revoke_from_team
from apps.access.queries import denial_for, permissions_held, roles_for
from apps.access.scoped import scoped
from apps.access.scopes import organization_over
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.core.web.forms import is_dialog_open
from apps.organizations.models import Organization, Team, Workspace
from apps.organizations.teams.forms import TeamRoleForm
from apps.organizations.teams.queries import team_grants_on
from apps.organizations.teams.services import assign_team_role


@scoped(Organization, "organization.members.view", by="slug", writing="organization.members.manage")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def of_organization(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _page(request, organization)


@scoped(Workspace, "workspace.members.view", by="slug", writing="workspace.members.manage")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def of_workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return _page(request, workspace)


@scoped(Organization, "organization.members.manage", by="slug")
@fresh_sign_in
@require_POST
def take_on_organization(
    request: HttpRequest, organization: Organization, team_id: int
) -> HttpResponse:
    return _take(request, organization, team_id)


@scoped(Workspace, "workspace.members.manage", by="slug")
@fresh_sign_in
@require_POST
def take_on_workspace(request: HttpRequest, workspace: Workspace, team_id: int) -> HttpResponse:
    return _take(request, workspace, team_id)


def _page(request: HttpRequest, place: Organization | Workspace) -> HttpResponse:
    organization = organization_over(place)
    form = TeamRoleForm(
        request.POST or None,
        organization=organization,
        roles=roles_for(on=place, within=permissions_held(user=request_user(request), on=place)),
    )
    if is_submitted(request, form):
        team, role = form.cleaned_data["team"], form.cleaned_data["role"]
        with errors_shown_in(form):
            assign_team_role(actor=request_user(request), on=place, **form.cleaned_data)
            messages.success(request, f"{team} is now {role}.")
            return redirect(request.path)
    permission = f"{place.access_scope}.members.manage"
    context = {
        "place": place,
        "organization": organization,
        "grants": team_grants_on(on=place),
        "form": form,
        "is_assigning": is_dialog_open(form, request, "assign"),
        "has_teams": organization.teams.exists(),
        "denial": denial_for(user=request.user, permission=permission, on=place),
        "take": _name_of(place, "take_team_role", "take_workspace_team_role"),
    }
    return form_page(request, "organizations/teams/team_roles.html", context, form)


def _take(request: HttpRequest, place: Organization | Workspace, team_id: int) -> HttpResponse:
    team = get_object_or_404(Team, pk=team_id, organization=organization_over(place))
    with errors_as_messages(request):
        revoke_from_team(actor=request_user(request), team=team, on=place)
        messages.success(request, f"{team} no longer has a role on {place}.")
    page = _name_of(place, "team_roles", "workspace_teams")
    return redirect(reverse(page, args=[place.slug]))


def _name_of(place: Organization | Workspace, of_organization: str, of_workspace: str) -> str:
    name = of_workspace if isinstance(place, Workspace) else of_organization
    return f"organizations:{name}"
