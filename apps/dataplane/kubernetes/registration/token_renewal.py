"""A token of a service account that ends, and the next one, which the account asks for itself.

`TokenRequest` gives it out; the manifest lets the account of the portal ask for its own and for no
other. What a token says of itself (RFC 7519) is not verified here: the cluster does that.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import ACCESS_REVIEW
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.status import Finding

# The least and the most that a new token is asked for; the cluster may give out a shorter one.
SHORTEST, LONGEST = timedelta(minutes=10), timedelta(days=365)
LONGEST_TEXT = 16_000
SUBJECT = "system:serviceaccount:"
NO_RIGHT = (
    "Apply the manifest below again: it lets the account ask for its next token. Or replace the "
    "token in time."
)


@dataclass(frozen=True, kw_only=True)
class AccountToken:
    """What a token says: whose it is, and from when until when it is good."""

    namespace: str
    account: str
    issued_at: datetime
    ends_at: datetime

    @property
    def life(self) -> timedelta:
        return self.ends_at - self.issued_at

    @property
    def renew_at(self) -> datetime:
        """When two thirds of its life are over."""
        return self.issued_at + self.life * 2 / 3


def claims_of(token: str) -> dict[str, Any]:
    """Read what a JSON Web Token says of itself. Other tokens say nothing."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def account_token(token: str) -> AccountToken | None:
    """Return what the token of a service account says, None for one that never ends or is another
    kind of token.
    """
    claims = claims_of(token)
    subject = str(claims.get("sub", ""))
    namespace, _, account = subject.removeprefix(SUBJECT).partition(":")
    try:
        issued, ends = (datetime.fromtimestamp(float(claims[one]), UTC) for one in ("iat", "exp"))
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
    if not subject.startswith(SUBJECT) or not namespace or not account or ends <= issued:
        return None
    return AccountToken(namespace=namespace, account=account, issued_at=issued, ends_at=ends)


def renewed_token(api: Api, token: str) -> str:
    """Ask for the next token of the same account, for as long as this one was given out. Raises
    DataPlaneError while there is none, Permanent for an answer that is no such token.
    """
    old = account_token(token)
    if old is None:
        raise Permanent("This token is none of a service account: nothing renews it.")
    life = min(max(old.life, SHORTEST), LONGEST)
    text = api.new_token(
        namespace=old.namespace, account=old.account, seconds=round(life.total_seconds())
    )
    new = account_token(text)
    is_plain = len(text) <= LONGEST_TEXT and all("!" <= one <= "~" for one in text)
    if not is_plain or new is None or (new.namespace, new.account) != (old.namespace, old.account):
        raise Permanent("The cluster gave out something that is no token of the same account.")
    return text


def renewal_finding(api: Api, connection: Connection) -> tuple[Finding, ...]:
    """Say whether the token of a connection can be renewed; nothing of one that does not end."""
    token = account_token(connection.token)
    if token is None:
        return ()
    attributes = {
        "namespace": token.namespace,
        "resource": "serviceaccounts",
        "subresource": "token",
        "name": token.account,
        "verb": "create",
    }
    review = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.name,
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.ask(review, kind=ACCESS_REVIEW)
    if (answer.get("status") or {}).get("allowed"):
        return (Finding(title="Token", is_ok=True, detail="The portal renews it before it ends."),)
    detail = f"It ends at {token.ends_at:%H:%M} UTC on {token.ends_at.day} {token.ends_at:%b %Y}."
    return (Finding(title="Token", is_ok=False, detail=detail, remedy=NO_RIGHT),)
