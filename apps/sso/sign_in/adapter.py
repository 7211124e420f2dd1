"""allauth's adapters: connections instead of SocialApps, admission instead of sign-up."""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.socialaccount.providers.base import AuthProcess, ProviderException
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from apps.accounts.sessions.services import note_confirmation
from apps.accounts.sign_in.adapter import AccountAdapter as PortalAccountAdapter
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Refused
from apps.sso.connections.services import client_secret_of
from apps.sso.linking.reach import is_reached
from apps.sso.models import SSOConnection
from apps.sso.protocols.failures import NOT_ASKED, explain, in_a_test
from apps.sso.protocols.identity_providers import configuration_address
from apps.sso.protocols.outgoing import GuardedSession
from apps.sso.provider import (
    AUTHENTICATED_AT,
    CONFIRMS,
    TRUSTED_CA,
    check_authenticated,
    check_nonce,
)
from apps.sso.queries import connections_of, verified_domain, ways_to_sign_in
from apps.sso.sign_in.admission import ProofNeeded, admit
from apps.sso.sign_in.bypass import has_bypass
from apps.sso.sign_in.identities import Identity, identity_from
from apps.sso.sign_in.pending import hold
from apps.sso.sign_in.testing import end_test, is_testing

logger = logging.getLogger(__name__)
SIGNED_IN_AS_ANOTHER = (
    "The identity provider signed in another person than the one signed in here. Sign out there "
    "or here, then sign in again."
)

NOT_REACHED = (
    "This identity provider has not been linked to your account by you, or it was changed since. "
    "Sign out here, then sign in with it and link it again."
)


class AccountAdapter(PortalAccountAdapter):
    """Refuses every other way to sign in where a domain enforces single sign-on.

    Passwords, passkeys, invitations and sign-in links all pass here on their way to a session.
    """

    def requires_single_sign_on(self, request: Any, email: str) -> bool:
        domain = verified_domain(email=email)
        return bool(domain and domain.is_enforced and not has_bypass(request, domain.organization))

    def pre_login(self, request: Any, user: Any, **kwargs: Any) -> HttpResponse | None:
        signal_kwargs = kwargs.get("signal_kwargs") or {}
        is_free = "sociallogin" in signal_kwargs or signal_kwargs.get("bypasses_single_sign_on")
        if not is_free and self.requires_single_sign_on(request, user.email):
            context = {
                "domain": verified_domain(email=user.email),
                "connections": ways_to_sign_in(email=user.email).connections,
                "email": user.email,
            }
            return render(request, "sso/connections/enforced.html", context, status=403)
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        return response

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if not user.is_authenticated:
            return methods
        has_identity = bool(connections_of(user=user))
        if has_identity and self.requires_single_sign_on(self.request, user.email):
            # A way that does not sign in does not confirm, either.
            methods = []
        if not methods or has_identity:
            way = {"id": "sso", "description": "Use single sign-on", "url": reverse("sso:confirm")}
            methods.append(way)
        return methods


class SSOAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth is untyped
    """allauth's hooks for identity providers and the people who sign in through them."""

    def list_apps(
        self, request: Any, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        found = SSOConnection.objects.filter(key=provider).select_related("organization")
        return [app_of(connection) for connection in found]

    def get_requests_session(self) -> GuardedSession:
        return GuardedSession(ca=self.request.META.get(TRUSTED_CA, "") if self.request else "")

    def is_open_for_signup(self, request: Any, sociallogin: Any) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        connection = sociallogin.provider.app.connection
        try:
            identity = _identity(sociallogin)
        except ProviderException as error:
            self.on_authentication_error(request, sociallogin.provider, exception=error)
        if sociallogin.state.get("test"):
            raise ImmediateHttpResponse(end_test(request, connection, identity))
        if sociallogin.state.get("process") != AuthProcess.LOGIN or not connection.is_enabled:
            raise ImmediateHttpResponse(problem(request, connection, "This connection is off."))
        if sociallogin.state.get(CONFIRMS):
            raise ImmediateHttpResponse(end_confirmation(request, sociallogin))
        try:
            sociallogin.user = admit(connection=connection, identity=identity)
        except ProofNeeded as needed:
            hold(
                request,
                connection,
                subject=identity.subject,
                user=needed.user,
                replaces=needed.replaces,
            )
            proof = redirect("sso:link", connection_key=connection.key)
            raise ImmediateHttpResponse(proof) from None
        except Refused as error:
            page = problem(request, connection, error.message, status=403)
            raise ImmediateHttpResponse(page) from None
        sociallogin.account = SocialAccount.objects.get(
            provider=connection.key, uid=identity.subject
        )

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: BaseException | None = None,
        extra_context: Any = None,
    ) -> None:
        connection = provider.app.connection
        if exception is None and "state" not in (extra_context or {}):
            raise ImmediateHttpResponse(problem(request, connection, NOT_ASKED))
        message, reason = explain(exception, sent=request.GET.get("error", ""))
        raise ImmediateHttpResponse(problem(request, connection, message, reason=reason))


def end_confirmation(request: HttpRequest, sociallogin: Any) -> HttpResponse:
    """Confirm the signed-in person if the identity that returned is theirs."""
    connection, uid = sociallogin.provider.app.connection, sociallogin.account.uid
    linked = SocialAccount.objects.filter(provider=connection.key, uid=uid)
    account = linked.filter(user_id=request.user.pk).select_related("user").first()
    if account is None:
        return problem(request, connection, SIGNED_IN_AS_ANOTHER, status=403)
    if not is_reached(connection=connection, account=account):
        return problem(request, connection, NOT_REACHED, status=403)
    try:
        check_authenticated(at=_authenticated_at(sociallogin), state=sociallogin.state)
    except ProviderException as error:
        return problem(request, connection, str(error), reason="not authenticated anew")
    note_confirmation(request)
    after = urlencode({"next": sociallogin.state.get("next") or ""})
    return redirect(f"{reverse('sso:confirm')}?{after}")


def app_of(connection: SSOConnection) -> SocialApp:
    """Return the unsaved row that allauth takes for a connection."""
    try:
        secret = client_secret_of(connection)
    except SecretUnreadable:
        logger.exception("client secret unreadable", extra={"connection": connection.key})
        secret = ""
    app = SocialApp(
        provider=connection.protocol,
        provider_id=connection.key,
        name=connection.name,
        client_id=connection.client_id or connection.key,
        secret=secret,
        settings={
            "server_url": configuration_address(connection.config.get("issuer", "")),
            "oauth_pkce_enabled": True,
        },
    )
    app.connection = connection
    return app


def problem(
    request: HttpRequest,
    connection: SSOConnection,
    message: str,
    *,
    reason: str = "",
    status: int = 400,
) -> HttpResponse:
    """Show that sign-in failed, with an id that is in the log. A test shows the reason, too."""
    if is_testing(request, connection):
        message = f"{in_a_test(message)} {reason}".strip()
        return end_test(request, connection, None, message=message)
    error_id = secrets.token_hex(4)
    logger.warning(
        "sign-in refused",
        extra={"error_id": error_id, "connection": connection.key, "reason": reason or message},
    )
    context = {"connection": connection, "message": message, "error_id": error_id}
    return render(request, "sso/sign_in/problem.html", context, status=status)


def _identity(sociallogin: Any) -> Identity:
    connection: SSOConnection = sociallogin.provider.app.connection
    said = sociallogin.account.extra_data
    if connection.protocol == SSOConnection.Protocol.OIDC:
        said = _claims(said, sociallogin.state)
    return identity_from(connection=connection, subject=sociallogin.account.uid, said=said)


def _claims(said: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of the ID token and the user info, which must be about one person."""
    claims = dict(said.get("id_token") or {})
    check_nonce(claims=claims, state=state)
    info = said.get("userinfo") or {}
    if info.get("sub") != claims.get("sub"):
        raise ProviderException("The user info is about another person than the ID token.")
    if "email" in info and info["email"] != claims.get("email"):
        # What the token says of its address says nothing of this one.
        claims.pop("email_verified", None)
    return {**claims, **info}


def _authenticated_at(sociallogin: Any) -> object:
    said = sociallogin.account.extra_data
    if AUTHENTICATED_AT in said:
        return said[AUTHENTICATED_AT]
    return (said.get("id_token") or {}).get("auth_time")
