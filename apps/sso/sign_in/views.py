"""Sign-in: an email address first, then the method that its domain requires."""

import time
from typing import Any

from allauth.account.views import LoginView
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from requests import RequestException

from apps.core.errors import Invalid
from apps.core.web.gates import open_to_all
from apps.core.web.own_addresses import is_own_address
from apps.sso.connections.services import note_bypass
from apps.sso.models import SSOConnection
from apps.sso.protocols.failures import NOT_ASKED, explain
from apps.sso.protocols.identity_providers import check_url
from apps.sso.provider import CONFIRMS, OIDCAdapter
from apps.sso.queries import bypass_link, verified_domain, ways_to_sign_in
from apps.sso.sign_in.adapter import app_of, problem
from apps.sso.sign_in.bypass import has_bypass, open_bypass
from apps.sso.sign_in.forms import EmailForm, PasswordForm
from apps.sso.sign_in.testing import begin_test


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for the address first; the second step is a password or an identity provider."""
    if request.user.is_authenticated or "password" in request.POST:
        response: HttpResponse = with_password(request)
        return response
    form = EmailForm(request.POST or None)
    context: dict[str, Any] = {"form": form, "next": next_of(request)}
    if request.method != "POST":
        return render(request, "sso/sign_in/sign_in.html", context)
    if not form.is_valid():
        return render(request, "sso/sign_in/sign_in.html", context, status=422)
    return _second_step(request, form.cleaned_data["login"])


def _second_step(request: HttpRequest, email: str) -> HttpResponse:
    context = _ways(request, email)
    if context["is_enforced"] and len(context["connections"]) == 1:
        return _leave_for(request, context["connections"][0])
    form = PasswordForm(initial={"login": email}, request=request)
    return render(request, "account/login.html", {"form": form, **context})


def _ways(request: HttpRequest, email: str) -> dict[str, Any]:
    ways = ways_to_sign_in(email=email)
    domain = verified_domain(email=email)
    is_bypassed = domain is not None and has_bypass(request, domain.organization)
    return {
        "email": email,
        "connections": ways.connections,
        "is_bypassed": is_bypassed,
        "is_enforced": ways.is_enforced and not is_bypassed,
        "next": next_of(request),
    }


class PasswordView(LoginView):  # type: ignore[misc]  # allauth is untyped
    """The second step with a password; a wrong one shows the other sign-in methods again."""

    def get_form_class(self) -> type[PasswordForm]:
        return PasswordForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        email = context["form"]["login"].value() or ""
        return context | _ways(self.request, email)


with_password = PasswordView.as_view()


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, connection_key: str) -> HttpResponse:
    """Redirect to the identity provider that the person chose; its own tile for the portal leads
    here with GET.
    """
    connection = get_object_or_404(
        SSOConnection.objects.select_related("organization"), key=connection_key, is_enabled=True
    )
    if request.method != "POST":
        context = {"connection": connection, "connections": [connection], "next": next_of(request)}
        return render(request, "sso/sign_in/start.html", context)
    return _leave_for(request, connection)


def _leave_for(request: HttpRequest, connection: SSOConnection, **state: Any) -> HttpResponse:
    """Return a page that continues to the identity provider.

    Not with a redirect: browsers apply `form-action` to redirects, and it names no identity
    provider.
    """
    provider = app_of(connection).get_provider(request)
    try:
        redirection = provider.redirect(
            request, AuthProcess.LOGIN, next_url=next_of(request) or None, **state
        )
        url = redirection["Location"]
        check_url(url.partition("?")[0], field="")
    except (RequestException, KeyError, ValueError, RecursionError, Invalid) as error:
        message, reason = explain(error, sent="")
        return problem(request, connection, message, reason=reason)
    return render(request, "sso/sign_in/leaving.html", {"connection": connection, "url": url})


def leave_for_test(request: HttpRequest, connection: SSOConnection) -> HttpResponse:
    """Begin a test: the same flow as a sign-in, but without signing anyone in."""
    begin_test(request, connection)
    return _leave_for(request, connection, test=True)


def leave_for_confirmation(request: HttpRequest, connection: SSOConnection) -> HttpResponse:
    """Redirect to an identity provider and require a fresh sign-in there."""
    return _leave_for(request, connection, **{CONFIRMS: time.time()})


@open_to_all
@never_cache
@require_GET
def callback(request: HttpRequest, connection_key: str) -> HttpResponse:
    """Receive the redirect of an OpenID Connect provider."""
    connection = connection_of(connection_key, SSOConnection.Protocol.OIDC)
    try:
        view = OAuth2CallbackView.adapter_view(OIDCAdapter(request, connection.key))
        response: HttpResponse = view(request)
    except PermissionDenied:
        return problem(request, connection, NOT_ASKED)
    except (RequestException, KeyError, ValueError, TypeError, RecursionError) as error:
        # allauth handles errors only after it has read the discovery document.
        message, reason = explain(error, sent="")
        return problem(request, connection, message, reason=reason)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    return response


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def bypass(request: HttpRequest, token: str) -> HttpResponse:
    """Allow passwords again while the identity provider is down."""
    link = bypass_link(token=token)
    if link is None:
        return render(request, "sso/sign_in/bypass_unusable.html", status=404)
    if request.method != "POST":
        return render(request, "sso/sign_in/bypass.html", {"organization": link.organization})
    note_bypass(link=link)
    open_bypass(request, link.organization)
    messages.success(request, f"Passwords of {link.organization} work in this browser now.")
    return redirect("account_login")


def connection_of(key: str, protocol: str) -> SSOConnection:
    rows = SSOConnection.objects.select_related("organization")
    return get_object_or_404(rows, key=key, protocol=protocol)


def next_of(request: HttpRequest) -> str:
    """Return the portal's address to continue at, "" for none."""
    url = request.POST.get("next") or request.GET.get("next") or ""
    return url if is_own_address(url) else ""
