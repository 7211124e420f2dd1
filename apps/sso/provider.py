"""The two protocols as implemented by allauth, with stricter checks.

SAML: an assertion signs in once, in whichever process (allauth checks only what it asked for
itself). OIDC: a nonce ties the token to the request, its signature is always checked, and PKCE is
on. allauth finds `provider_classes` by the name of this module.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import jwt
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.providers.base import ProviderException
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from allauth.socialaccount.providers.saml.provider import SAMLProvider
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.sso.protocols.assertions import spend_assertion
from apps.sso.protocols.failures import token_problem
from apps.sso.protocols.identity_providers import SCOPES
from apps.sso.protocols.saml import address_of, new_request

# Identity providers may state no expiry; this default is longer than the accepted clock skew.
LONGEST_ASSERTION = timedelta(days=1)
# Clocks synchronized by NTP differ by less; allauth accepts no difference at all.
CLOCK_SKEW = timedelta(seconds=60)
EMAIL_FORMAT = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
TRANSIENT_FORMAT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
NAME_ID = "name-id"
# A request with this in its state re-authenticates a person who is signed in already.
CONFIRMS = "confirms"


class _Unread:
    """Leaves names and addresses to `sign_in.adapter`: they are of whatever type was sent."""

    def extract_common_fields(self, data: Any) -> dict[str, Any]:
        return {}

    def extract_email_addresses(self, data: Any) -> list[Any]:
        return []


class PortalSAMLProvider(_Unread, SAMLProvider):  # type: ignore[misc]  # allauth is untyped
    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **kwargs: Any,
    ) -> HttpResponse:
        auth = new_request(self.app.connection)
        url = auth.login(return_to="", force_authn=bool(kwargs.get(CONFIRMS)))
        self.stash_redirect_state(
            request, process, next_url, data, state_id=auth.get_last_request_id(), **kwargs
        )
        return HttpResponseRedirect(url)

    def extract_extra_data(self, data: Any) -> dict[str, Any]:
        said = dict(data.get_attributes())
        if data.get_nameid_format() == EMAIL_FORMAT:
            said[NAME_ID] = data.get_nameid()
        return said

    def sociallogin_from_response(self, request: HttpRequest, response: Any) -> Any:
        if response.get_nameid_format() == TRANSIENT_FORMAT:
            raise ProviderException("The name ID is transient: choose a persistent one.")
        spend_assertion(
            connection=self.app.connection,
            assertion_id=response.get_last_assertion_id() or "",
            expires_at=_end_of(response.get_last_assertion_not_on_or_after()),
        )
        return super().sociallogin_from_response(request, response)


def _end_of(not_on_or_after: int | None) -> datetime:
    now = datetime.now(UTC)
    if not not_on_or_after:
        return now + LONGEST_ASSERTION
    return datetime.fromtimestamp(not_on_or_after, UTC) + timedelta(minutes=10)


class OIDCAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth is untyped
    @cached_property
    def _provider(self) -> Any:
        return super().get_provider()

    def get_provider(self) -> Any:
        """Return the provider, cached: allauth calls this repeatedly."""
        return self._provider

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        try:
            algorithm, key = jwtkit.fetch_key(
                id_token, self.openid_config["jwks_uri"], jwtkit.lookup_kid_jwk
            )
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key=key,
                algorithms=[algorithm],
                issuer=app.connection.config["issuer"],
                audience=app.client_id,
                leeway=CLOCK_SKEW,
                options={"require": ["exp", "iat", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise ProviderException(token_problem(error)) from error
        return claims

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return address_of(app.connection, "callback")

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        if not kwargs["response"].get("id_token"):
            raise ProviderException("The identity provider sent no ID token.")
        return super().complete_login(request, app, token, **kwargs)


# allauth is untyped.
class PortalOIDCProvider(_Unread, OpenIDConnectProvider):  # type: ignore[misc]
    oauth2_adapter_class = OIDCAdapter
    pkce_enabled_default = True

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **kwargs: Any,
    ) -> HttpResponse:
        nonce = secrets.token_urlsafe(24)
        asked = {"nonce": nonce, **({"prompt": "login"} if kwargs.get(CONFIRMS) else {})}
        response: HttpResponse = super().redirect(
            request, process, next_url, data, auth_params=asked, nonce=nonce, **kwargs
        )
        return response

    def get_scope(self) -> list[str]:
        return list(self.app.connection.config.get("scopes", SCOPES))


def check_nonce(*, claims: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raise ProviderException unless the ID token has the nonce of the request sent from here."""
    expected = state.get("nonce")
    if not expected or claims.get("nonce") != expected:
        raise ProviderException("The ID token does not answer this sign-in.")


provider_classes = [PortalSAMLProvider, PortalOIDCProvider]
