"""Where owners set up identity providers."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import (
    STALE,
    fresh_sign_in,
    fresh_sign_in_first,
    is_sign_in_fresh,
)
from apps.core.errors import PortalError
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.organizations.models import Organization
from apps.sso.connections import services, trust
from apps.sso.connections.editions import edition_of
from apps.sso.connections.newcomers import newcomer_role, roles_of_newcomers
from apps.sso.linking.reach import is_owner
from apps.sso.models import SSOConnection
from apps.sso.protocols.addresses import SCOPES, address_of
from apps.sso.protocols.identity_providers import certificate_ends, provider_ends_at
from apps.sso.protocols.vocabulary import NAMES
from apps.sso.setup.forms import FORMS, SHARED, ConnectionForm, ProtocolForm
from apps.sso.sign_in.views import leave_for_test

MANAGE = "organization.sso.manage"
ADDRESS_CHANGED = (
    "The addresses below have changed, because another connection was begun or added in the "
    "meantime. Register them with the identity provider, then send the form again."
)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in_first
@sensitive_post_parameters("client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
def new_connection(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Choose the protocol, then fill in its form."""
    protocol = request.POST.get("protocol") or request.GET.get("protocol", "")
    if protocol not in FORMS:
        context = {"organization": organization, "form": ProtocolForm()}
        return render(request, "sso/connections/choose_protocol.html", context)
    user = request_user(request)
    key = services.reserve_key(actor=user, organization=organization, protocol=protocol)
    roles = roles_of_newcomers(actor=user, organization=organization)
    form = FORMS[protocol](request.POST or None, request.FILES or None, roles=roles)
    _refuse_stale(request, form)
    if request.POST.get("key", key) != key:
        form.add_error(None, ADDRESS_CHANGED)
    if is_submitted(request, form):
        with errors_shown_in(form):
            connection = services.create_connection(
                actor=user,
                organization=organization,
                protocol=protocol,
                key=key,
                **form.cleaned_fields,
            )
            messages.success(request, "Connection added. Test it, then enable it.")
            return _to(connection)
    to_come = SSOConnection(organization=organization, key=key, protocol=protocol)
    context = {"organization": organization, "form": form, "protocol": protocol}
    context |= _freshness(request) | _addresses(to_come) | {"key": key}
    return form_page(request, "sso/connections/connection_form.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@require_safe
def connection(
    request: HttpRequest, organization: Organization, connection_key: str
) -> HttpResponse:
    found = get_object_or_404(organization.sso_connections, key=connection_key)
    is_saml = found.protocol == SSOConnection.Protocol.SAML
    context = {
        "organization": organization,
        "connection": found,
        **_addresses(found),
        "certificate_ends": certificate_ends(found) if is_saml else [],
        "ca_expires_at": None if is_saml else provider_ends_at(found.config),
        "now": timezone.now(),
        "newcomer_role": newcomer_role(organization=organization, key=found.default_role),
        "is_owner": is_owner(user=request_user(request), organization=organization),
    }
    return render(request, "sso/connections/connection.html", context)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in_first
@sensitive_post_parameters("client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
def edit_connection(
    request: HttpRequest, organization: Organization, connection_key: str
) -> HttpResponse:
    found = get_object_or_404(organization.sso_connections, key=connection_key)
    form = FORMS[found.protocol](
        request.POST or None,
        request.FILES or None,
        roles=roles_of_newcomers(
            actor=request_user(request), organization=organization, key=found.default_role
        ),
        connection=found,
        initial=_initial(found),
    )
    _refuse_stale(request, form)
    edition = request.POST.get("edition", "") or edition_of(found)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.update_connection(
                actor=request_user(request),
                connection=found,
                edition=edition,
                **form.cleaned_fields,
            )
            messages.success(request, "Saved.")
            return _to(found)
        edition = edition_of(get_object_or_404(organization.sso_connections, pk=found.pk))
    context = {
        "organization": organization,
        "form": form,
        "protocol": found.protocol,
        "connection": found,
        "edition": edition,
        **_freshness(request),
        **_addresses(found),
    }
    return form_page(request, "sso/connections/connection_form.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def test_connection(
    request: HttpRequest, organization: Organization, connection_key: str
) -> HttpResponse:
    """Redirect to the identity provider; its answer returns to the connection's page."""
    return leave_for_test(
        request, get_object_or_404(organization.sso_connections, key=connection_key)
    )


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def switch_connection(
    request: HttpRequest, organization: Organization, connection_key: str
) -> HttpResponse:
    found = get_object_or_404(organization.sso_connections, key=connection_key)
    is_on = request.POST.get("enable") == "yes"
    change = services.enable_connection if is_on else services.disable_connection
    with errors_as_messages(request):
        change(actor=request_user(request), connection=found)
        messages.success(request, f"{found} is {'enabled' if is_on else 'disabled'}.")
    return _to(found)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def approve_connection(
    request: HttpRequest, organization: Organization, connection_key: str
) -> HttpResponse:
    found = get_object_or_404(organization.sso_connections, key=connection_key)
    with errors_as_messages(request):
        trust.approve_connection(actor=request_user(request), connection=found)
        messages.success(request, f"{found} is approved.")
    return _to(found)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def delete_connection(
    request: HttpRequest, organization: Organization, connection_key: str
) -> HttpResponse:
    found = get_object_or_404(organization.sso_connections, key=connection_key)
    context: dict[str, Any] = {"organization": organization, "connection": found, "problem": ""}
    if request.method != "POST":
        return render(request, "sso/connections/delete_connection.html", context)
    try:
        services.delete_connection(actor=request_user(request), connection=found)
    except PortalError as error:
        context["problem"] = error.message
        return render(request, "sso/connections/delete_connection.html", context, status=422)
    messages.success(request, f"{found} is removed.")
    return redirect("sso:overview", slug=organization.slug)


def _addresses(connection: SSOConnection) -> dict[str, Any]:
    """Return what the identity provider has to be told."""
    is_saml = connection.protocol == SSOConnection.Protocol.SAML
    pages = ("metadata", "acs", "start") if is_saml else ("callback", "start")
    return {
        "names": NAMES,
        "is_saml": is_saml,
        "addresses": {page: address_of(connection, page) for page in pages},
        "scopes": connection.config.get("scopes", SCOPES),
    }


def _refuse_stale(request: HttpRequest, form: ConnectionForm) -> None:
    if request.method == "POST" and not is_sign_in_fresh(request):
        form.add_error(None, STALE)


def _freshness(request: HttpRequest) -> dict[str, Any]:
    """Link to the confirmation in another tab, so that this one keeps what was typed."""
    return {
        "is_stale": not is_sign_in_fresh(request),
        "confirm_url": f"{reverse('account_reauthenticate')}?next={request.path}",
    }


def _initial(connection: SSOConnection) -> dict[str, Any]:
    return {
        **{name: getattr(connection, name) for name in SHARED},
        "client_id": connection.client_id,
        "issuer": connection.config.get("issuer", ""),
        "ca_certificate": connection.config.get("ca_certificate", ""),
    }


def _to(connection: SSOConnection) -> HttpResponse:
    return redirect(
        "sso:connection", slug=connection.organization.slug, connection_key=connection.key
    )
