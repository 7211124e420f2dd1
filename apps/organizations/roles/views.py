from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.access.models import Role
from apps.access.queries import denial_for, permissions_held
from apps.access.roles.catalogue import SCOPE_WORDS, SCOPES, permissions_of_scope
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import PortalError
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.organizations.models import Organization
from apps.organizations.roles.forms import CustomRoleForm, InsteadForm
from apps.organizations.roles.queries import (
    grants_giving,
    invitations_offering,
    replacements_for,
)
from apps.organizations.roles.services import create_role, delete_role, update_role
from apps.organizations.roles.tables import TEMPLATES, permissions_of_template, table_of, worded

MANAGE = "organization.roles.manage"
PAGE_SIZE = 50


@scoped(Organization, "organization.view", by="slug")
@require_safe
def roles(request: HttpRequest, organization: Organization) -> HttpResponse:
    search = request.GET.get("q", "").strip()[:100]
    custom = organization.custom_roles.prefetch_related("workspaces").order_by("scope", "name")
    if search:
        custom = custom.filter(Q(name__icontains=search) | Q(description__icontains=search))
    built_in = Role.objects.filter(organization=None)
    ids = {(role.scope, role.key): role.pk for role in built_in}
    context = {
        "organization": organization,
        "tables": [table_of(scope, ids) for scope in SCOPES],
        "page_obj": Paginator(custom, PAGE_SIZE).get_page(request.GET.get("page")),
        "search": search,
        "scopes": SCOPES,
        "denial": denial_for(user=request.user, permission=MANAGE, on=organization),
    }
    return render(request, "organizations/roles/roles.html", context)


@scoped(Organization, "organization.view", by="slug")
@require_safe
def role_page(request: HttpRequest, organization: Organization, role_id: int) -> HttpResponse:
    role = _role(organization, role_id)
    people, teams = grants_giving(
        role=role, organization=organization, seen_by=request_user(request)
    )
    may_see_people = request.user.has_perm("organization.members.view", organization)
    context = {
        "organization": organization,
        "role": role,
        "scope_word": SCOPE_WORDS[role.scope],
        "groups": worded(role.permissions),
        "workspaces": role.workspaces.order_by("name"),
        "page_obj": Paginator(people, PAGE_SIZE).get_page(request.GET.get("page")),
        "teams": teams[:PAGE_SIZE],
        "may_see_people": may_see_people,
        "denial": denial_for(user=request.user, permission=MANAGE, on=organization),
    }
    return render(request, "organizations/roles/role.html", context)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def new_role(request: HttpRequest, organization: Organization, scope: str) -> HttpResponse:
    if scope not in SCOPES:
        raise Http404
    begin_with = request.GET.get("from", "")
    form = _form(
        request, organization, scope, {"permissions": permissions_of_template(scope, begin_with)}
    )
    if is_submitted(request, form):
        with errors_shown_in(form):
            role = create_role(
                actor=request_user(request),
                organization=organization,
                scope=scope,
                **form.cleaned_data,
            )
            messages.success(request, f"Role {role} created. Assign it where it is needed.")
            return redirect("organizations:role", organization.slug, role.pk)
    context = {
        "organization": organization,
        "scope_word": SCOPE_WORDS[scope],
        "form": form,
        "begin_with": begin_with,
        "templates": [label for label, *_ in TEMPLATES[scope]],
    }
    return form_page(request, "organizations/roles/new_role.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def edit_role(request: HttpRequest, organization: Organization, role_id: int) -> HttpResponse:
    role = get_object_or_404(Role, pk=role_id, organization=organization)
    initial = {
        "name": role.name,
        "description": role.description,
        "permissions": role.permissions,
        "is_limited": role.is_limited,
        "workspaces": role.workspaces.all(),
    }
    form = _form(request, organization, role.scope, initial)
    if is_submitted(request, form):
        with errors_shown_in(form):
            update_role(actor=request_user(request), role=role, **form.cleaned_data)
            messages.success(request, "Saved. The change applies to everyone with this role.")
            return redirect("organizations:role", organization.slug, role.pk)
    context = {"organization": organization, "role": role, "form": form}
    return form_page(request, "organizations/roles/edit_role.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def delete_role_page(
    request: HttpRequest, organization: Organization, role_id: int
) -> HttpResponse:
    role = get_object_or_404(Role, pk=role_id, organization=organization)
    people, teams = grants_giving(role=role)
    invitations = invitations_offering(role=role)
    is_held = people.exists() or teams.exists() or invitations.exists()
    posted, user = request.POST if request.method == "POST" else None, request_user(request)
    form = InsteadForm(
        posted, roles=replacements_for(role=role, organization=organization, user=user)
    )
    refusal = ""
    if request.method == "POST" and (not is_held or form.is_valid()):
        instead = form.cleaned_data["instead"] if is_held else None
        try:
            delete_role(actor=request_user(request), role=role, instead=instead)
        except PortalError as error:
            refusal = error.message
        else:
            messages.success(request, f"Role {role} deleted.")
            return redirect("organizations:roles", organization.slug)
    context = {
        "organization": organization,
        "role": role,
        "people": people[:PAGE_SIZE],
        "people_count": people.count(),
        "teams": teams,
        "invitations": invitations,
        "is_held": is_held,
        "form": form if is_held else None,
        "refusal": refusal,
    }
    status = 422 if refusal or (is_held and form.errors) else 200
    return render(request, "organizations/roles/delete_role.html", context, status=status)


def _form(
    request: HttpRequest, organization: Organization, scope: Any, initial: dict[str, Any]
) -> CustomRoleForm:
    held = permissions_held(user=request_user(request), on=organization)
    return CustomRoleForm(
        request.POST or None,
        scope=scope,
        allowed=held & permissions_of_scope(scope),
        workspaces=organization.workspaces.order_by("name"),
        initial=initial,
    )


def _role(organization: Organization, role_id: int) -> Role:
    known = Role.objects.filter(Q(organization=None) | Q(organization=organization))
    return get_object_or_404(known, pk=role_id)
