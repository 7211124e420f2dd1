from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.models import User
from apps.accounts.queries import person_with_email
from apps.accounts.request_user import request_user
from apps.accounts.services import AddressTaken
from apps.accounts.sessions.services import fresh_sign_in
from apps.accounts.sign_in.start import start_session
from apps.core.errors import Invalid, PortalError
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.core.web.forms import add_error
from apps.core.web.gates import keeps_address_private, open_to_all
from apps.organizations.invitations.forms import NameForm, NewPersonForm, PersonForm
from apps.organizations.invitations.queries import usable_invitation
from apps.organizations.invitations.services import (
    InvitationUnusable,
    accept_as_new_person,
    accept_invitation,
    invite,
    resend_invitation,
    revoke_invitation,
)
from apps.organizations.members.services import assign_role
from apps.organizations.members.views import invite_words, list_page, people_page, person_form
from apps.organizations.models import Invitation, Organization, Workspace
from apps.organizations.queries import has_role_on, is_member


@scoped(Organization, "organization.members.manage", by="slug")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invite_member(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = person_form(request, organization)
    if is_submitted(request, form):
        email, role = form.cleaned_data["email"], form.cleaned_data["role"]
        with errors_shown_in(form):
            url = invite(
                actor=request_user(request),
                organization=organization,
                email=email,
                organization_role=role.key,
                roles_end_at=form.cleaned_data["expires_at"],
            )
            return _made(request, organization, email, url)
    return _form_page(request, organization, form)


@scoped(Workspace, "workspace.members.manage", by="slug")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def add_member(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    form = person_form(request, workspace)
    if is_submitted(request, form):
        with errors_shown_in(form):
            return _add(request, workspace, **form.cleaned_data)
    return _form_page(request, workspace, form)


def _add(
    request: HttpRequest, workspace: Workspace, *, email: str, role: Any, expires_at: Any
) -> HttpResponse:
    """Add a member of the organization at once; invite anyone else."""
    actor, organization = request_user(request), workspace.organization
    person = person_with_email(email=email)
    if person is not None and is_member(user=person, organization=organization):
        if has_role_on(user=person, workspace=workspace):
            raise Invalid(f"{email} is already in {workspace}.", field="email")
        assign_role(actor=actor, user=person, role=role, on=workspace, expires_at=expires_at)
        messages.success(request, f"{person} is now {role}.")
        return redirect(people_page(workspace))
    url = invite(
        actor=actor,
        organization=organization,
        email=email,
        workspace=workspace,
        workspace_role=role.key,
        roles_end_at=expires_at,
    )
    return _made(request, workspace, email, url)


@scoped(Organization, "organization.members.manage", by="slug")
@fresh_sign_in
@never_cache
@require_POST
def resend(request: HttpRequest, organization: Organization, invitation_id: int) -> HttpResponse:
    found = get_object_or_404(Invitation, pk=invitation_id, organization=organization)
    return _resend(request, organization, found)


@scoped(Workspace, "workspace.members.manage", by="slug")
@fresh_sign_in
@never_cache
@require_POST
def resend_of_workspace(
    request: HttpRequest, workspace: Workspace, invitation_id: int
) -> HttpResponse:
    found = get_object_or_404(Invitation, pk=invitation_id, workspace=workspace)
    return _resend(request, workspace, found)


@scoped(Organization, "organization.members.manage", by="slug")
@fresh_sign_in
@require_POST
def revoke(request: HttpRequest, organization: Organization, invitation_id: int) -> HttpResponse:
    found = get_object_or_404(Invitation, pk=invitation_id, organization=organization)
    return _revoke(request, organization, found)


@scoped(Workspace, "workspace.members.manage", by="slug")
@fresh_sign_in
@require_POST
def revoke_of_workspace(
    request: HttpRequest, workspace: Workspace, invitation_id: int
) -> HttpResponse:
    found = get_object_or_404(Invitation, pk=invitation_id, workspace=workspace)
    return _revoke(request, workspace, found)


def _resend(
    request: HttpRequest, place: Organization | Workspace, found: Invitation
) -> HttpResponse:
    try:
        url = resend_invitation(actor=request_user(request), invitation=found)
    except PortalError as error:
        messages.error(request, error.message)
        return redirect(people_page(place))
    return _made(request, place, found.email, url)


def _revoke(
    request: HttpRequest, place: Organization | Workspace, found: Invitation
) -> HttpResponse:
    with errors_as_messages(request):
        revoke_invitation(actor=request_user(request), invitation=found)
        messages.success(request, f"Invitation of {found.email} revoked.")
    return redirect(people_page(place))


@open_to_all
@keeps_address_private
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    found = usable_invitation(token=token)
    if found is None:
        return render(request, "organizations/invitations/invitation_unusable.html", status=410)
    account = person_with_email(email=found.email)
    if account is None:
        return _accept_as_new_person(request, found)
    if request.user != account:
        return _elsewhere(request, found, account)
    return _accept(request, found, account)


def _elsewhere(request: HttpRequest, found: Invitation, account: User | None) -> HttpResponse:
    """Explain whom the invitation is for, to an anonymous visitor or another person."""
    context = {"invitation": found, "account": account}
    return render(request, "organizations/invitations/invitation_elsewhere.html", context)


def _accept(request: HttpRequest, found: Invitation, person: User) -> HttpResponse:
    refusal = ""
    if request.method == "POST":
        try:
            accept_invitation(user=person, invitation=found)
        except PortalError as error:
            refusal = error.message
        else:
            return _welcome(request, found)
    context = {"invitation": found, "refusal": refusal}
    status = 422 if refusal else 200
    return render(request, "organizations/invitations/invitation.html", context, status=status)


def _accept_as_new_person(request: HttpRequest, found: Invitation) -> HttpResponse:
    if request.user.is_authenticated:
        return _elsewhere(request, found, None)
    is_single = get_adapter(request).requires_single_sign_on(request, found.email)
    form = (NameForm if is_single else NewPersonForm)(request.POST or None)
    if is_submitted(request, form):
        try:
            person = accept_as_new_person(
                invitation=found,
                name=form.cleaned_data["name"],
                password=form.cleaned_data.get("password"),
            )
        except InvitationUnusable:
            return render(request, "organizations/invitations/invitation_unusable.html", status=410)
        except AddressTaken:
            # The account was created a moment ago by another invitation: this page then asks to
            # sign in.
            return redirect(request.path)
        except PortalError as error:
            add_error(form, error)
        else:
            # With single sign-on this is the page that leads to the identity provider.
            refusal = start_session(request, person)
            return refusal or _welcome(request, found)
    context = {"invitation": found, "form": form, "is_single": is_single}
    status = 422 if form.errors else 200
    return render(
        request, "organizations/invitations/invitation_new_person.html", context, status=status
    )


def _welcome(request: HttpRequest, found: Invitation) -> HttpResponse:
    messages.success(request, f"Welcome to {found.workspace or found.organization}.")
    if found.workspace is not None:
        return redirect("portal:workspace", slug=found.workspace.slug)
    return redirect("portal:home")


def _form_page(
    request: HttpRequest, place: Organization | Workspace, form: PersonForm
) -> HttpResponse:
    if form.errors:
        return list_page(request, place, form)
    context = {"place": place, "form": form, "back_url": people_page(place), **invite_words(place)}
    return form_page(request, "organizations/invitations/invite.html", context, form)


def _made(
    request: HttpRequest, place: Organization | Workspace, email: str, url: str
) -> HttpResponse:
    """Say that it was mailed, or show the link: its digest alone is stored, so here alone."""
    context = {
        "place": place,
        "email": email,
        "url": url,
        "back_url": people_page(place),
    }
    return render(request, "organizations/invitations/invitation_made.html", context)
