"""Which sessions of an Airflow a request carries: who, in which role, from which sign-in. Pure.

Nothing is verified here, Airflow does that. What is read only decides what is withheld from
Airflow, so that a forged session gains nothing. What Airflow might parse differently than this
module is withheld as well.
"""

import base64
import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

from multidict import CIMultiDict

SESSION_COOKIE = "_token"
# JWS compact serialization (RFC 7515, section 7.1), as Airflow writes it: nothing is padded.
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{1,1024}")
LONGEST_NAME = 254


@dataclass(frozen=True)
class AirflowSession:
    """The claims of a session that the portal's plugin made (runtime/plugins/portal_auth.py)."""

    person: str
    role: str
    portal_session: str


def session_in(token: str) -> AirflowSession | None:
    """Read a session, unverified; None for a token that carries no role in Airflow."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        person, role = claims["sub"], claims["role"]
    except (IndexError, ValueError, LookupError, TypeError, RecursionError):
        return None
    portal_session = claims.get("portal_session", "")
    texts = (person, role, portal_session)
    if not all(_is_plain(text) for text in texts):
        return None
    return AirflowSession(person, role, portal_session)


def tokens_in(headers: CIMultiDict[str]) -> set[str]:
    """Return the tokens with which a request could be authenticated by Airflow."""
    bearers = {_bearer(value) for value in headers.getall("Authorization", ())}
    cookies = {value for name, value in _cookies(headers) if name == SESSION_COOKIE}
    return {token for token in bearers | cookies if token and TOKEN.fullmatch(token)}


def without_tokens(headers: CIMultiDict[str], lost: Container[str]) -> CIMultiDict[str]:
    """Return the headers without the `lost` tokens, and without what is no plain token or name.

    A bearer takes precedence over the cookie beside it, so with a bearer the cookie is removed as
    well.
    """
    kept = headers.copy()
    sent = kept.popall("Authorization", [])
    passing = [value for value in sent if _passes(_bearer(value), lost)]
    kept.extend(("Authorization", value) for value in passing)
    cookies = [
        f"{name}={value}"
        for name, value in _cookies(headers)
        if name != SESSION_COOKIE or (passing == sent and _passes(value, lost))
    ]
    kept.popall("Cookie", None)
    if cookies:
        kept["Cookie"] = "; ".join(cookies)
    return kept


def _is_plain(text: object) -> bool:
    return isinstance(text, str) and len(text) <= LONGEST_NAME and text.isprintable()


def _passes(token: str | None, lost: Container[str]) -> bool:
    return token is None or (token not in lost and bool(TOKEN.fullmatch(token)))


def _bearer(value: str) -> str | None:
    scheme, _, token = value.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _cookies(headers: CIMultiDict[str]) -> Iterator[tuple[str, str]]:
    """Yield cookies whose names are plain: others may become `_token` where blanks are stripped."""
    for header in headers.getall("Cookie", ()):
        for pair in header.split(";"):
            name, equals, value = pair.strip().partition("=")
            if equals and name.isascii():
                yield name.strip(), value.strip()
