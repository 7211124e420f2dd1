"""The two protocols as implemented by allauth, with stricter checks.

SAML: what is read was checked by `protocols.answers`. OIDC: a nonce ties the token to the request,
its signature is always checked, and PKCE is on. allauth finds `provider_classes` by the name of
this module.
"""

import hashlib
import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jwt
from allauth.socialaccount import app_settings
from allauth.socialaccount.providers.base import ProviderException
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from allauth.socialaccount.providers.saml.provider import SAMLProvider
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.sso.protocols.addresses import SCOPES, address_of
from apps.sso.protocols.failures import token_problem
from apps.sso.protocols.signing_keys import signing_keys

if TYPE_CHECKING:
    from apps.sso.protocols.answers import Answer

# Clocks synchronized by NTP differ by less; allauth accepts no difference at all.
CLOCK_SKEW = timedelta(seconds=60)
TRANSIENT_FORMAT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
# Names that stay, where the name ID does not (SAML V2.0 Subject Identifier Attributes Profile).
SUBJECT_NAMES = (
    "urn:oasis:names:tc:SAML:attribute:subject-id",
    "urn:oasis:names:tc:SAML:attribute:pairwise-id",
)
NAME_ID = "name-id"
AUTHENTICATED_AT = "authenticated-at"
# A request with this in its state re-authenticates a person who is signed in already. It holds the
# moment of the request, in Unix seconds.
CONFIRMS = "confirms"
# No header of a client has such a name.
TRUSTED_CA = "sso.trusted-ca"
NOT_FRESH = (
    "The identity provider did not ask again who you are, or did not say when it did. Sign out "
    "here, then sign in again."
)


def subject_of(text: str) -> str:
    """Return the name of a person at an identity provider as it is stored: a long one as its
    digest.
    """
    if len(text) < app_settings.UID_MAX_LENGTH:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


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
        # Every process of the portal loads this module; what reads XML takes 5 MB.
        from apps.sso.protocols.saml import new_request  # noqa: PLC0415 - see above

        auth = new_request(self.app.connection)
        url = auth.login(return_to="", force_authn=bool(kwargs.get(CONFIRMS)))
        self.stash_redirect_state(
            request, process, next_url, data, state_id=auth.get_last_request_id(), **kwargs
        )
        return HttpResponseRedirect(url)

    def extract_extra_data(self, data: "Answer") -> dict[str, Any]:
        return {
            **data.attributes,
            NAME_ID: data.subject,
            AUTHENTICATED_AT: data.authenticated_at,
        }

    def extract_uid(self, data: "Answer") -> str:
        named = (data.attributes.get(name) for name in SUBJECT_NAMES)
        lasting = next((values[0] for values in named if values), "")
        if not lasting and data.name_format == TRANSIENT_FORMAT:
            raise ProviderException("The name ID is transient: choose a persistent one.")
        return subject_of(lasting or data.subject)


def trust_in(request: HttpRequest, ca: str) -> None:
    """Let requests to the identity provider that answer `request` trust an authority."""
    request.META[TRUSTED_CA] = ca


class OIDCAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth is untyped
    @cached_property
    def _provider(self) -> Any:
        return super().get_provider()

    def get_provider(self) -> Any:
        """Return the provider, cached: allauth calls this repeatedly. What its server is asked
        comes later, and trusts the authority of the connection.
        """
        provider = self._provider
        trust_in(self.request, provider.app.connection.config.get("ca_certificate", ""))
        return provider

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        keys_url = self.openid_config["jwks_uri"]
        problem: jwt.PyJWTError = jwt.InvalidSignatureError("no key fits")
        try:
            for key in signing_keys(token=id_token, keys_url=keys_url):
                try:
                    return self._claims(app, id_token, key)
                except jwt.InvalidSignatureError as error:
                    problem = error
        except jwt.PyJWTError as error:
            problem = error
        raise ProviderException(token_problem(problem)) from problem

    def _claims(self, app: Any, id_token: str, key: jwt.PyJWK) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key=key,
            algorithms=[key.algorithm_name],
            issuer=app.connection.issuer,
            audience=app.client_id,
            leeway=CLOCK_SKEW,
            options={"require": ["exp", "iat", "sub"]},
        )
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
        fresh = {"prompt": "login", "max_age": "0"} if kwargs.get(CONFIRMS) else {}
        asked = {"nonce": nonce, **fresh}
        response: HttpResponse = super().redirect(
            request, process, next_url, data, auth_params=asked, nonce=nonce, **kwargs
        )
        return response

    def extract_uid(self, data: Any) -> str:
        return subject_of(super().extract_uid(data))

    def get_scope(self) -> list[str]:
        return list(self.app.connection.config.get("scopes", SCOPES))


def check_nonce(*, claims: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raise ProviderException unless the ID token has the nonce of the request sent from here."""
    expected = state.get("nonce")
    if not expected or claims.get("nonce") != expected:
        raise ProviderException("The ID token does not answer this sign-in.")


def check_authenticated(*, at: object, state: Mapping[str, Any]) -> None:
    """Raise ProviderException unless the person authenticated (in Unix seconds) since a request to
    confirm. An identity provider that does not ask again mostly answers all the same.
    """
    since = float(state[CONFIRMS]) - CLOCK_SKEW.total_seconds()
    if not isinstance(at, (int, float)) or isinstance(at, bool) or at < since:
        raise ProviderException(NOT_FRESH)
    if at > time.time() + CLOCK_SKEW.total_seconds():
        raise ProviderException(NOT_FRESH)


provider_classes = [PortalSAMLProvider, PortalOIDCProvider]
