"""Provisioning: the endpoint that identity providers call, and the page with its address."""

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.context import name_caller
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.core.web.gates import open_to_all
from apps.organizations.models import Organization
from apps.sso.models import ScimRecord
from apps.sso.scim.forms import ScimTokenForm
from apps.sso.scim.tokens import (
    MANAGE,
    create_scim_token,
    is_backed,
    revoke_scim_token,
    scim_token,
)

PAGE_SIZE = 50


@csrf_exempt
@open_to_all
def endpoint(request: HttpRequest, organization_slug: str, path: str = "") -> HttpResponse:
    """Serve SCIM 2.0 to holders of a token of the organization. Sessions are ignored. An unknown
    organization answers as one whose token is wrong.
    """
    # A client may send it slowly, and its token be revoked meanwhile.
    request.body  # noqa: B018 - Django keeps it
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    token = scim_token(text=text.strip(), slug=organization_slug) if is_bearer else None
    if token is not None:
        name_caller(f"SCIM token {token}")
    serve = import_string("apps.sso.scim.serving.serve")
    response: HttpResponse = serve(request, slug=organization_slug, path=path, token=token)
    return response


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def provisioning(request: HttpRequest, organization: Organization) -> HttpResponse:
    """The endpoint and its tokens; posting creates a token and shows it once."""
    form = ScimTokenForm(request.POST or None)
    token = ""
    if is_submitted(request, form):
        with errors_shown_in(form):
            token = create_scim_token(
                actor=request_user(request), organization=organization, **form.cleaned_data
            )
            form = ScimTokenForm()
    records = ScimRecord.objects.filter(organization=organization)
    unlinked = records.filter(kind="User").exclude(problem="").order_by("key")
    context = {
        "organization": organization,
        "form": form,
        "token": token,
        "address": f"{settings.PORTAL_URL}/scim/{organization.slug}/v2",
        "tokens": [
            {"row": one, "is_backed": is_backed(one)}
            for one in organization.scim_tokens.select_related(
                "created_by", "organization"
            ).order_by("name", "pk")
        ],
        "people_count": records.filter(Q(user__isnull=False), kind="User").count(),
        "group_count": records.filter(kind="Group").count(),
        "page_obj": Paginator(unlinked, PAGE_SIZE).get_page(request.GET.get("page")),
    }
    return form_page(request, "sso/scim/provisioning.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_token(
    request: HttpRequest, organization: Organization, scim_token_id: int
) -> HttpResponse:
    token = get_object_or_404(organization.scim_tokens, pk=scim_token_id)
    if request.method != "POST":
        context = {"organization": organization, "token": token}
        return render(request, "sso/scim/revoke_token.html", context)
    revoke_scim_token(actor=request_user(request), token=token)
    messages.success(request, f"The token {token} is revoked.")
    return redirect("sso:provisioning", slug=organization.slug)
