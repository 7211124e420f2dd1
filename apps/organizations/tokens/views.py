"""API tokens of organizations and workspaces."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.access.scoped import scoped
from apps.accounts.sessions.services import fresh_sign_in
from apps.organizations.models import Organization, Workspace
from apps.organizations.tokens import pages


@scoped(Organization, "organization.tokens.manage", by="slug")
@require_safe
def tokens(request: HttpRequest, organization: Organization) -> HttpResponse:
    address = reverse("organizations:tokens", args=[organization.slug])
    return pages.list_page(request, organization, list_url=address)


@scoped(Organization, "organization.tokens.manage", by="slug")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_token(request: HttpRequest, organization: Organization) -> HttpResponse:
    back = reverse("organizations:tokens", args=[organization.slug])
    return pages.new_page(request, organization, list_url=back)


@scoped(Organization, "organization.tokens.manage", by="slug")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rotate_token(request: HttpRequest, organization: Organization, token_id: int) -> HttpResponse:
    back = reverse("organizations:tokens", args=[organization.slug])
    return pages.rotate_page(request, organization, token_id, list_url=back)


@scoped(Organization, "organization.tokens.manage", by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_token(request: HttpRequest, organization: Organization, token_id: int) -> HttpResponse:
    back = reverse("organizations:tokens", args=[organization.slug])
    return pages.revoke_page(request, organization, token_id, list_url=back)


@scoped(Workspace, "workspace.tokens.manage", by="slug")
@require_safe
def workspace_tokens(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    address = reverse("organizations:workspace_tokens", args=[workspace.slug])
    return pages.list_page(request, workspace, list_url=address)


@scoped(Workspace, "workspace.tokens.manage", by="slug")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_workspace_token(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    back = reverse("organizations:workspace_tokens", args=[workspace.slug])
    return pages.new_page(request, workspace, list_url=back)


@scoped(Workspace, "workspace.tokens.manage", by="slug")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rotate_workspace_token(
    request: HttpRequest, workspace: Workspace, token_id: int
) -> HttpResponse:
    back = reverse("organizations:workspace_tokens", args=[workspace.slug])
    return pages.rotate_page(request, workspace, token_id, list_url=back)


@scoped(Workspace, "workspace.tokens.manage", by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_workspace_token(
    request: HttpRequest, workspace: Workspace, token_id: int
) -> HttpResponse:
    back = reverse("organizations:workspace_tokens", args=[workspace.slug])
    return pages.revoke_page(request, workspace, token_id, list_url=back)
