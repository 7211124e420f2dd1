"""Settings of sign-in: the overview, email domains, the bypass link."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.errors import PortalError
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.organizations.models import Organization
from apps.sso.connections.services import make_bypass_link as new_bypass_link
from apps.sso.domains import services as domains
from apps.sso.domains.forms import DomainForm
from apps.sso.models import BypassLink, Domain

MANAGE = "organization.sso.manage"


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def overview(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Overview of sign-in of one organization; posting adds a domain."""
    form = DomainForm(request.POST or None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            domains.add_domain(
                actor=request_user(request), organization=organization, **form.cleaned_data
            )
            messages.success(request, "Added. Create the DNS record, then verify it.")
            return redirect("sso:overview", slug=organization.slug)
    context = {
        "organization": organization,
        "form": form,
        "domains": organization.domains.order_by("name"),
        "connections": organization.sso_connections.order_by("name"),
        "bypass_link": BypassLink.objects.filter(organization=organization).first(),
    }
    return form_page(request, "sso/overview.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def check_domain(request: HttpRequest, organization: Organization, domain_id: int) -> HttpResponse:
    domain = get_object_or_404(organization.domains, pk=domain_id)
    if domains.check_domain(actor=request_user(request), domain=domain):
        messages.success(request, f"{domain} is verified.")
    else:
        messages.warning(request, f"{domain} is not verified. {domain.problem}")
    return redirect("sso:overview", slug=organization.slug)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def change_domain(request: HttpRequest, organization: Organization, domain_id: int) -> HttpResponse:
    """Enforce, release or remove a domain, after a page that explains the consequences."""
    domain = get_object_or_404(organization.domains, pk=domain_id)
    action = request.POST.get("action") or request.GET.get("action", "")
    if action not in ("enforce", "release", "remove"):
        return redirect("sso:overview", slug=organization.slug)
    context = {"organization": organization, "domain": domain, "action": action, "problem": ""}
    if request.method != "POST":
        return render(request, "sso/domains/change_domain.html", context)
    try:
        message = _change(request, domain, action)
    except PortalError as error:
        context["problem"] = error.message
        return render(request, "sso/domains/change_domain.html", context, status=422)
    messages.success(request, message)
    return redirect("sso:overview", slug=organization.slug)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@never_cache
@require_POST
def make_bypass_link(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show a new bypass link, this once."""
    token = new_bypass_link(actor=request_user(request), organization=organization)
    url = settings.PORTAL_URL + reverse("sso:bypass", args=[token])
    return render(
        request, "sso/sign_in/bypass_made.html", {"organization": organization, "url": url}
    )


def _change(request: HttpRequest, domain: Domain, action: str) -> str:
    actor = request_user(request)
    if action == "remove":
        domains.remove_domain(actor=actor, domain=domain)
        return f"{domain} is removed."
    domains.enforce_sso(actor=actor, domain=domain, is_enforced=action == "enforce")
    if action == "enforce":
        return f"Addresses of {domain} sign in through single sign-on alone from now on."
    return f"Addresses of {domain} may sign in with passwords again."
