"""Who has access to a Deployment, through which grants; assigns roles on the Deployment itself."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.effective_grants import effective_grants_on, load_effective_grants
from apps.access.grants.services import revoke
from apps.access.grants.team_grants import revoke_from_team
from apps.access.queries import Denial, denial_for, permissions_held, roles_for
from apps.access.scoped import scoped
from apps.accounts.queries import person_with_email
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import Invalid
from apps.core.web.form_pages import errors_as_messages, errors_shown_in
from apps.core.web.forms import is_dialog_open
from apps.core.web.own_addresses import number_in
from apps.deployments.models import Deployment, DeploymentGrant, DeploymentTeamGrant, Phase
from apps.organizations.invitations.forms import PersonForm
from apps.organizations.members.services import assign_role
from apps.organizations.models import Team
from apps.organizations.roles.explanations import explanation
from apps.organizations.teams.forms import TeamRoleForm
from apps.organizations.teams.services import assign_team_role

MANAGE = "deployment.members.manage"
PAGE_SIZE = 50
Forms = tuple[PersonForm, TeamRoleForm]


@scoped(Deployment, "deployment.members.view", by="ref", writing=MANAGE)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def access(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    denial = denial_for(user=request.user, permission=MANAGE, on=deployment)
    if denial is not None or deployment.phase != Phase.ACTIVE:
        return _page(request, deployment, denial=denial)
    forms = for_person, for_team = _forms(request, deployment)
    form, give = (for_team, _assign_team) if for_team.is_bound else (for_person, _assign)
    if form.is_valid():
        with errors_shown_in(form):
            give(request, deployment, **form.cleaned_data)
            return redirect("deployments:access", deployment.ref)
    return _page(request, deployment, forms=forms)


@scoped(Deployment, "deployment.members.view", by="ref")
@require_safe
def who(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    back = reverse("deployments:access", args=[deployment.ref])
    return explanation(request, deployment, back_url=back)


@scoped(Deployment, MANAGE, by="ref")
@fresh_sign_in
@require_POST
def take(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    actor = request_user(request)
    with errors_as_messages(request):
        if "team" in request.POST:
            teams = DeploymentTeamGrant.objects.select_related("group__team__organization")
            team = get_object_or_404(
                teams, pk=_number(request, "team"), content_object=deployment
            ).group.team
            revoke_from_team(actor=actor, team=team, on=deployment)
            who = team
        else:
            people = DeploymentGrant.objects.select_related("user")
            who = get_object_or_404(
                people, pk=_number(request, "person"), content_object=deployment
            ).user
            revoke(actor=actor, user=who, on=deployment)
        messages.success(request, f"{who} no longer has a role on {deployment.name}.")
    return redirect("deployments:access", deployment.ref)


def _number(request: HttpRequest, field: str) -> int:
    posted = request.POST.get(field, "")
    # Ids in the database have at most 19 digits; a longer number is no grant.
    return number_in(posted, most=10**18) or 0


def _forms(request: HttpRequest, deployment: Deployment) -> Forms:
    held = permissions_held(user=request_user(request), on=deployment)
    roles = roles_for(on=deployment, within=held)
    posted = request.POST if request.method == "POST" else None
    is_team = posted is not None and "team" in posted
    return (
        PersonForm(None if is_team else posted, roles=roles),
        TeamRoleForm(
            posted if is_team else None,
            organization=deployment.workspace.organization,
            roles=roles,
            auto_id="team_%s",
        ),
    )


def _assign(request: HttpRequest, deployment: Deployment, *, email: str, **given: Any) -> None:
    person = person_with_email(email=email)
    if person is None or not person.is_active:
        # The same message as for a person of another organization: membership is not disclosed.
        organization = deployment.workspace.organization
        raise Invalid(
            f"{email} is not a member of {organization}. Invite them first.", field="email"
        )
    assign_role(actor=request_user(request), user=person, on=deployment, **given)
    messages.success(request, f"{person} is now {given['role']} of {deployment.name}.")


def _assign_team(request: HttpRequest, deployment: Deployment, *, team: Team, **given: Any) -> None:
    assign_team_role(actor=request_user(request), team=team, on=deployment, **given)
    messages.success(request, f"{team} is now {given['role']} of {deployment.name}.")


def _page(
    request: HttpRequest,
    deployment: Deployment,
    *,
    forms: Forms | None = None,
    denial: Denial | None = None,
) -> HttpResponse:
    search = request.GET.get("q", "").strip()[:100]
    ways = effective_grants_on(permission="deployment.view", on=deployment, search=search)
    page = Paginator(ways, PAGE_SIZE).get_page(request.GET.get("page"))
    form, team_form = forms or (None, None)
    context = {
        "deployment": deployment,
        "form": form,
        "team_form": team_form,
        "is_assigning": is_dialog_open(form, request, "assign"),
        "is_assigning_team": is_dialog_open(team_form, request, "assign-team"),
        "page": page,
        "people": load_effective_grants(on=deployment, rows=page.object_list),
        "search": search,
        "can_manage": forms is not None,
        "denial": denial,
    }
    status = 422 if any(one.errors for one in forms or ()) else 200
    return render(request, "deployments/access.html", context, status=status)
