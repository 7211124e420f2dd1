"""Whose identities at an identity provider are linked to accounts, and how a link ends."""

from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.web.form_pages import errors_as_messages
from apps.organizations.models import Organization
from apps.sso.linking.services import remove_link

MANAGE = "organization.sso.manage"
PAGE_SIZE = 50


@scoped(Organization, MANAGE, by="slug")
@require_safe
def people(request: HttpRequest, organization: Organization, connection_key: str) -> HttpResponse:
    connection = get_object_or_404(organization.sso_connections, key=connection_key)
    linked = SocialAccount.objects.filter(provider=connection.key).select_related(
        "user", "link_proof"
    )
    search = request.GET.get("q", "").strip()
    if search:
        linked = linked.filter(user__email__icontains=search)
    page = Paginator(linked.order_by("user__email", "pk"), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    context = {
        "organization": organization,
        "connection": connection,
        "page": page,
        "search": search,
    }
    return render(request, "sso/connections/people.html", context)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def unlink(
    request: HttpRequest, organization: Organization, connection_key: str, link_id: int
) -> HttpResponse:
    connection = get_object_or_404(organization.sso_connections, key=connection_key)
    account = get_object_or_404(
        SocialAccount.objects.select_related("user"), pk=link_id, provider=connection.key
    )
    with errors_as_messages(request):
        remove_link(actor=request_user(request), connection=connection, account=account)
        messages.success(request, f"{account.user.email} is no longer linked.")
    return redirect("sso:people", slug=organization.slug, connection_key=connection.key)
