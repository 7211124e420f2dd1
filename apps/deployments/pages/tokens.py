"""API tokens of a Deployment."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.access.scoped import scoped
from apps.accounts.sessions.services import fresh_sign_in
from apps.deployments.models import Deployment
from apps.organizations.tokens import pages


@scoped(Deployment, "deployment.tokens.manage", by="ref")
@require_safe
def tokens(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    address = reverse("deployments:tokens", args=[deployment.ref])
    return pages.list_page(request, deployment, list_url=address)


@scoped(Deployment, "deployment.tokens.manage", by="ref")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_token(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    back = reverse("deployments:tokens", args=[deployment.ref])
    return pages.new_page(request, deployment, list_url=back)


@scoped(Deployment, "deployment.tokens.manage", by="ref")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def rotate_token(request: HttpRequest, deployment: Deployment, token_id: int) -> HttpResponse:
    back = reverse("deployments:tokens", args=[deployment.ref])
    return pages.rotate_page(request, deployment, token_id, list_url=back)


@scoped(Deployment, "deployment.tokens.manage", by="ref")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_token(request: HttpRequest, deployment: Deployment, token_id: int) -> HttpResponse:
    back = reverse("deployments:tokens", args=[deployment.ref])
    return pages.revoke_page(request, deployment, token_id, list_url=back)
