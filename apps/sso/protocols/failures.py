"""Why a sign-in through an identity provider failed: a message for the person, and a reason for the
log. Neither holds text of the identity provider, except the short codes that the protocol defines.
"""

import re
from dataclasses import dataclass

import jwt
from allauth.socialaccount.providers.base import ProviderException
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from requests import RequestException
from requests.exceptions import SSLError

BYPASS = "Until then, an owner of your organization has a bypass link."
IF_IT_STAYS = "If it stays so, an owner of your organization has a bypass link."
AWAY = f"The identity provider does not answer. Try again in a moment. {IF_IT_STAYS}"
UNTRUSTED = (
    "The certificate of the identity provider's server has expired, or it is not one that the "
    f"portal trusts. The administrator of the identity provider has to renew it. {BYPASS}"
)
CLIENT_REFUSED = (
    "The identity provider does not accept the client ID or the client secret of this connection. "
    f"An owner of your organization has to write the current ones into it. {BYPASS}"
)
CODE_REFUSED = "The identity provider revoked its answer. Sign in again."
NOT_ASKED = "This answer belongs to a sign-in that did not begin in this browser. Sign in again."
CANCELLED = "The sign-in was cancelled at the identity provider."
ERROR_SENT = "The identity provider answered with an error instead of a sign-in. Sign in again."
NOT_UNDERSTOOD = "The identity provider sent something that is not OpenID Connect."
TOO_LATE = "The answer came too late, or a clock is wrong: compare those of both machines."
TOO_EARLY = "The answer is dated in the future: compare the clocks of both machines."
UNKNOWN_SIGNER = (
    "The signature is not by a certificate of this connection. If the identity provider has a new "
    f"one, an owner of your organization has to upload its current metadata. {BYPASS}"
)
# What PyJWT says of an ID token; the order matters where one class is above another.
TOKEN_PROBLEMS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, TOO_LATE),
    (jwt.ImmatureSignatureError, TOO_EARLY),
    (
        jwt.InvalidAudienceError,
        "The answer is meant for another application: an owner has to check the client ID.",
    ),
    (
        jwt.InvalidIssuerError,
        "The answer names another issuer than this connection: an owner has to check it.",
    ),
    (
        jwt.InvalidSignatureError,
        "The answer is signed with a key that is not the identity provider's. Sign in again.",
    ),
    (jwt.PyJWTError, "The answer of the identity provider is not a valid ID token."),
)
ERROR_CODE = re.compile(r'"error"\s*:\s*"([a-z_]{1,40})"')
CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True)
class BadAnswer(Exception):
    """A refused SAML response; `message` may be shown, `reason` is for the log."""

    message: str
    reason: str = ""


def in_a_test(message: str) -> str:
    """Leave out of a message what helps people who sign in, and not an administrator who tests."""
    return message.replace(BYPASS, "").replace(IF_IT_STAYS, "").strip()


def token_problem(error: jwt.PyJWTError) -> str:
    """Return what is wrong with an ID token, in a message."""
    return next(message for kind, message in TOKEN_PROBLEMS if isinstance(error, kind))


def explain(error: BaseException | None, *, sent: str) -> tuple[str, str]:
    """Return the message and the reason of a failed sign-in by OpenID Connect.

    `sent` is the error in the identity provider's redirect, if there is one.
    """
    if isinstance(error, RequestException):
        message = UNTRUSTED if isinstance(error, SSLError) else AWAY
        return message, f"{type(error).__name__}: {error}"[:300]
    if isinstance(error, OAuth2Error):
        return _refused(str(error))
    if isinstance(error, ProviderException):
        cause = error.__cause__
        return str(error), f"{type(cause).__name__}: {cause}"[:300] if cause else str(error)
    if error is not None:
        return NOT_UNDERSTOOD, type(error).__name__
    code = sent if CODE.fullmatch(sent) else "an error without a code"
    return (CANCELLED if code == "access_denied" else ERROR_SENT), f"sent back: {code}"


def _refused(said: str) -> tuple[str, str]:
    """The token endpoint's answer may hold tokens, so only its error code is kept."""
    found = ERROR_CODE.search(said)
    code = found[1] if found else "no error code"
    is_client = code in ("invalid_client", "unauthorized_client")
    return (CLIENT_REFUSED if is_client else CODE_REFUSED), f"token endpoint: {code}"
