"""People of an organization or a workspace: the pages are the same, only the object differs."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.access.effective_grants import roles_held, roles_within
from apps.access.models import Role
from apps.access.queries import denial_for, permissions_held, roles_for
from apps.access.scoped import scoped
from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import PortalError
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.organizations.forms import RoleForm
from apps.organizations.invitations.forms import PersonForm
from apps.organizations.invitations.queries import open_invitations
from apps.organizations.members.queries import grants_on, people_from_above
from apps.organizations.members.services import assign_role, remove_person
from apps.organizations.models import Invitation, Organization, Workspace
from apps.organizations.queries import is_member

PAGE_SIZE = 50


@scoped(Organization, "organization.members.view", by="slug")
@require_safe
def members(request: HttpRequest, organization: Organization) -> HttpResponse:
    return list_page(request, organization)


@scoped(Workspace, "workspace.members.view", by="slug")
@require_safe
def workspace_members(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return list_page(request, workspace)


def list_page(
    request: HttpRequest, place: Organization | Workspace, form: PersonForm | None = None
) -> HttpResponse:
    """List the members; `form` is one with errors, which opens its dialog again."""
    context = _list_context(request, place, form)
    template = "members"
    if isinstance(place, Workspace):
        template = "workspace_members"
        context["from_above"] = people_from_above(workspace=place)
    status = 200 if form is None else 422
    return render(request, f"organizations/members/{template}.html", context, status=status)


@scoped(
    Organization,
    "organization.members.view",
    by="slug",
    writing="organization.members.manage",
)
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def member(request: HttpRequest, organization: Organization, person_id: int) -> HttpResponse:
    return _member_page(request, organization, person_id)


@scoped(Workspace, "workspace.members.view", by="slug", writing="workspace.members.manage")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def workspace_member(request: HttpRequest, workspace: Workspace, person_id: int) -> HttpResponse:
    return _member_page(request, workspace, person_id)


@scoped(Organization, "organization.members.manage", by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def remove_member(request: HttpRequest, organization: Organization, person_id: int) -> HttpResponse:
    return _removal_page(request, organization, person_id)


@scoped(Workspace, "workspace.members.manage", by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def remove_workspace_member(
    request: HttpRequest, workspace: Workspace, person_id: int
) -> HttpResponse:
    return _removal_page(request, workspace, person_id)


def _list_context(
    request: HttpRequest, place: Organization | Workspace, form: PersonForm | None
) -> dict[str, Any]:
    search = request.GET.get("q", "").strip()[:100]
    page = Paginator(grants_on(on=place, search=search), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    invitations = _invitations(request, place, search)
    permission = f"{place.access_scope}.members.manage"
    denial = denial_for(user=request.user, permission=permission, on=place)
    return {
        "place": place,
        "page_obj": page,
        "invitations": invitations[:PAGE_SIZE],
        "invitation_count": invitations.count(),
        "search": search,
        "denial": denial,
        "may_manage": denial is None,
        "form": form or (None if denial else person_form(request, place)),
        "is_inviting": form is not None,
        **invite_words(place),
    }


def person_form(request: HttpRequest, place: Organization | Workspace) -> PersonForm:
    return PersonForm(request.POST or None, roles=_roles_to_give(request, place))


def invite_words(place: Organization | Workspace) -> dict[str, str]:
    """Return where the form for a new member of a place is sent, and what it is called."""
    if isinstance(place, Workspace):
        return {
            "invite_url": reverse("organizations:add_member", args=[place.slug]),
            "invite_label": "Add member",
            "invite_note": (
                "Members of the organization are added immediately. Others get an email with a "
                "link that is valid for seven days."
            ),
        }
    return {
        "invite_url": reverse("organizations:invite_member", args=[place.slug]),
        "invite_label": "Invite",
        "invite_note": "They get an email with a link that is valid for seven days.",
    }


def _invitations(
    request: HttpRequest, place: Organization | Workspace, search: str
) -> QuerySet[Invitation]:
    reader = request_user(request)
    if isinstance(place, Organization):
        return open_invitations(organization=place, seen_by=reader, search=search)
    found = open_invitations(organization=place.organization, seen_by=reader, search=search)
    return found.filter(workspace=place)


def _member_page(
    request: HttpRequest, place: Organization | Workspace, person_id: int
) -> HttpResponse:
    person = person_in(place, person_id)
    held = roles_held(user=person, on=place)
    here = [one for one in held if one.held_on == place and one.team is None]
    form = RoleForm(
        request.POST or None,
        roles=_roles_to_give(request, place),
        initial={"role": here[0].role.key if here else None},
        ends_at=here[0].grant.expires_at if here else None,
    )
    if is_submitted(request, form):
        role = form.cleaned_data["role"]
        with errors_shown_in(form):
            assign_role(actor=request_user(request), user=person, on=place, **form.cleaned_data)
            messages.success(request, f"{person} is now {role}.")
            return redirect(request.path)
    permission = f"{place.access_scope}.members.manage"
    context = {
        "place": place,
        "person": person,
        "here": here,
        "role_title": f"Role in {place}",
        "roles": _trace(person, place, reader=request_user(request)),
        "form": form,
        "back_url": people_page(place),
        "who_url": reverse(_who_name(place), args=[place.slug]),
        "denial": denial_for(user=request.user, permission=permission, on=place),
    }
    return form_page(request, "organizations/members/member.html", context, form)


def _removal_page(
    request: HttpRequest, place: Organization | Workspace, person_id: int
) -> HttpResponse:
    person = person_in(place, person_id)
    ways = roles_within(user=person, on=place)
    roles = [one for one in ways if one.team is None]
    if not roles:
        messages.info(request, f"{person} has no direct role in {place}.")
        return redirect(people_page(place))
    refusal = ""
    if request.method == "POST":
        try:
            remove_person(actor=request_user(request), user=person, on=place)
        except PortalError as error:
            refusal = error.message
        else:
            messages.success(request, f"{person} removed from {place}.")
            return redirect("portal:home" if person == request.user else people_page(place))
    context = {
        "place": place,
        "person": person,
        "roles": roles,
        "through_teams": [one for one in ways if one.team is not None],
        "leaves_teams": isinstance(place, Organization),
        "refusal": refusal,
        "back_url": people_page(place),
    }
    status = 422 if refusal else 200
    return render(request, "organizations/members/remove_member.html", context, status=status)


def person_in(place: Organization | Workspace, person_id: int) -> User:
    """Return a member of the organization; 404 for anyone else, and for tokens."""
    organization = place.organization if isinstance(place, Workspace) else place
    person = get_object_or_404(User, pk=person_id)
    if not is_member(user=person, organization=organization):
        raise Http404
    return person


def _roles_to_give(request: HttpRequest, place: Organization | Workspace) -> list[Role]:
    within = permissions_held(user=request_user(request), on=place)
    return roles_for(on=place, within=within)


def _trace(person: User, place: Organization | Workspace, *, reader: User) -> list[Any]:
    above = [one for one in roles_held(user=person, on=place) if one.held_on != place]
    return [*above, *roles_within(user=person, on=place, seen_by=reader)]


def _who_name(place: Organization | Workspace) -> str:
    return "organizations:workspace_who" if isinstance(place, Workspace) else "organizations:who"


def people_page(place: Organization | Workspace) -> str:
    """Return the address of the page that lists the people of an organization or a workspace."""
    if isinstance(place, Workspace):
        return reverse("organizations:workspace_members", args=[place.slug])
    return reverse("organizations:members", args=[place.slug])
