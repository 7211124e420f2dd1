from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.models import User
from apps.accounts.queries import person_with_email
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import Invalid, PortalError
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.core.web.forms import is_dialog_open
from apps.organizations.models import Organization, Team
from apps.organizations.teams.forms import TeamForm, TeamMemberForm
from apps.organizations.teams.queries import people_in, teams_of
from apps.organizations.teams.services import (
    add_to_team,
    create_team,
    delete_team,
    grants_of,
    remove_from_team,
    update_team,
)

MANAGE = "organization.teams.manage"
PAGE_SIZE = 50


@scoped(Organization, "organization.members.view", by="slug")
@require_safe
def team_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _list_page(request, organization)


def _list_page(
    request: HttpRequest, organization: Organization, form: TeamForm | None = None
) -> HttpResponse:
    """List the Teams; `form` is one with errors, which opens its dialog again."""
    denial = denial_for(user=request.user, permission=MANAGE, on=organization)
    search = request.GET.get("q", "").strip()[:100]
    found = teams_of(organization=organization, search=search)
    context = {
        "organization": organization,
        "search": search,
        "page_obj": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "form": form or (None if denial else TeamForm()),
        "denial": denial,
    }
    status = 422 if form is not None else 200
    return render(request, "organizations/teams/teams.html", context, status=status)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def new_team(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = TeamForm(request.POST or None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            team = create_team(
                actor=request_user(request), organization=organization, **form.cleaned_data
            )
            messages.success(request, f"Team {team} created. Add its members next.")
            return redirect("organizations:team", organization.slug, team.pk)
    if form.errors:
        return _list_page(request, organization, form)
    context = {"organization": organization, "form": form}
    return form_page(request, "organizations/teams/new_team.html", context, form)


@scoped(Organization, "organization.members.view", by="slug", writing=MANAGE)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def team_page(request: HttpRequest, organization: Organization, team_id: int) -> HttpResponse:
    team = _team(organization, team_id)
    form = TeamMemberForm(request.POST or None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            person = _add(request, team, form.cleaned_data["email"])
            messages.success(request, f"{person} added to {team}.")
            return redirect(request.path)
    search = request.GET.get("q", "").strip()[:100]
    people = people_in(team=team, search=search)
    context = {
        "organization": organization,
        "team": team,
        "form": form,
        "is_adding": is_dialog_open(form, request, "add"),
        "search": search,
        "page_obj": Paginator(people, PAGE_SIZE).get_page(request.GET.get("page")),
        "grants": grants_of(team=team, seen_by=request_user(request)),
        "denial": denial_for(user=request.user, permission=MANAGE, on=organization),
    }
    return form_page(request, "organizations/teams/team.html", context, form)


def _add(request: HttpRequest, team: Team, email: str) -> User:
    person = person_with_email(email=email)
    if person is None:
        raise Invalid(
            f"{email} is not a member of {team.organization}. Invite them first.", field="email"
        )
    add_to_team(actor=request_user(request), team=team, user=person)
    return person


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def remove_from_team_page(
    request: HttpRequest, organization: Organization, team_id: int, person_id: int
) -> HttpResponse:
    team = _team(organization, team_id)
    person = get_object_or_404(User, pk=person_id, groups=team.group)
    with errors_as_messages(request):
        remove_from_team(actor=request_user(request), team=team, user=person)
        messages.success(request, f"{person} removed from {team}.")
    return redirect("organizations:team", organization.slug, team.pk)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def team_settings(request: HttpRequest, organization: Organization, team_id: int) -> HttpResponse:
    team = _team(organization, team_id)
    initial = {"name": team.name, "description": team.description}
    form = TeamForm(request.POST or None, initial=initial)
    if is_submitted(request, form):
        with errors_shown_in(form):
            update_team(actor=request_user(request), team=team, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect("organizations:team", organization.slug, team.pk)
    context = {"organization": organization, "team": team, "form": form}
    return form_page(request, "organizations/teams/team_settings.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def delete_team_page(
    request: HttpRequest, organization: Organization, team_id: int
) -> HttpResponse:
    team = _team(organization, team_id)
    error = ""
    if request.method == "POST":
        error = _delete(request, team)
        if not error:
            messages.success(request, f"Team {team} deleted.")
            return redirect("organizations:teams", organization.slug)
    context = {
        "organization": organization,
        "team": team,
        "grants": grants_of(team=team),
        "people_count": team.group.user_set.count(),
        "error": error,
    }
    status = 422 if error else 200
    return render(request, "organizations/teams/delete_team.html", context, status=status)


def _delete(request: HttpRequest, team: Team) -> str:
    """Delete the Team; return why not, if so."""
    if request.POST.get("confirm", "").strip() != team.name:
        return f"Type {team.name} exactly as shown."
    try:
        delete_team(actor=request_user(request), team=team)
    except PortalError as error:
        return error.message
    return ""


def _team(organization: Organization, team_id: int) -> Team:
    teams = Team.objects.select_related("organization", "group")
    return get_object_or_404(teams, pk=team_id, organization=organization)
