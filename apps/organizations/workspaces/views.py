from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.organizations.models import Organization, Workspace
from apps.organizations.workspaces.forms import OrganizationForm, WorkspaceForm
from apps.organizations.workspaces.queries import workspaces_of
from apps.organizations.workspaces.services import (
    create_workspace,
    update_organization,
    update_workspace,
)

PAGE_SIZE = 50


@scoped(Organization, "organization.view", by="slug")
@require_safe
def workspaces(request: HttpRequest, organization: Organization) -> HttpResponse:
    person = request_user(request)
    found = workspaces_of(organization=organization, user=person)
    context = {
        "organization": organization,
        "page_obj": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "denial": denial_for(
            user=person, permission="organization.workspaces.create", on=organization
        ),
    }
    return render(request, "organizations/workspaces/workspaces.html", context)


@scoped(Organization, "organization.workspaces.create", by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def new_workspace(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = WorkspaceForm(request.POST or None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            workspace = create_workspace(
                actor=request_user(request), organization=organization, **form.cleaned_data
            )
            messages.success(request, f"Workspace {workspace} created.")
            return redirect("portal:workspace", slug=workspace.slug)
    context = {"organization": organization, "form": form}
    return form_page(request, "organizations/workspaces/new_workspace.html", context, form)


@scoped(Workspace, "workspace.view", by="slug", writing="workspace.update")
@require_http_methods(["GET", "HEAD", "POST"])
def workspace_settings(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    initial = {"name": workspace.name, "description": workspace.description}
    form = WorkspaceForm(request.POST or None, initial=initial)
    if is_submitted(request, form):
        with errors_shown_in(form):
            update_workspace(actor=request_user(request), workspace=workspace, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect("organizations:workspace_settings", slug=workspace.slug)
    context = {
        "workspace": workspace,
        "form": form,
        "denial": denial_for(user=request.user, permission="workspace.update", on=workspace),
        "delete_denial": denial_for(user=request.user, permission="workspace.delete", on=workspace),
    }
    status = 422 if form.errors else 200
    return render(
        request, "organizations/workspaces/workspace_settings.html", context, status=status
    )


@scoped(Organization, "organization.view", by="slug", writing="organization.update")
@require_http_methods(["GET", "HEAD", "POST"])
def organization_settings(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = OrganizationForm(request.POST or None, initial={"name": organization.name})
    if is_submitted(request, form):
        update_organization(
            actor=request_user(request), organization=organization, **form.cleaned_data
        )
        messages.success(request, "Saved.")
        return redirect("organizations:settings", slug=organization.slug)
    context = {
        "organization": organization,
        "form": form,
        "denial": denial_for(user=request.user, permission="organization.update", on=organization),
    }
    status = 422 if form.errors else 200
    return render(
        request, "organizations/workspaces/organization_settings.html", context, status=status
    )
