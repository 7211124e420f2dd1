"""An identity that waits, in the session of its browser, until its person has proved that the
account is theirs.

The link in the confirmation email works in that browser alone: whoever follows a link that another
person asked for links nothing.
"""

import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts.models import User
from apps.sso.models import SSOConnection

SESSION_KEY = "sso_pending"
SALT = "apps.sso.sign_in.pending"
LIFE_SECONDS = 1800
MOST_MAILS = 3


@dataclass(frozen=True, kw_only=True)
class Pending:
    """The identity, and the account that it is about to be linked to. `issuer` is that of the
    answer.
    """

    connection: str
    issuer: str
    subject: str
    user: int
    replaces: bool
    nonce: str
    since: float
    mails: int = 0


def hold(
    request: HttpRequest, connection: SSOConnection, *, subject: str, user: User, replaces: bool
) -> None:
    """Keep an identity whose person has to prove the account."""
    pending = Pending(
        connection=connection.key,
        issuer=connection.issuer,
        subject=subject,
        user=user.pk,
        replaces=replaces,
        nonce=secrets.token_urlsafe(16),
        since=time.time(),
    )
    request.session[SESSION_KEY] = asdict(pending)


def pending_of(request: HttpRequest, connection: SSOConnection) -> Pending | None:
    """Return the identity that waits in this session for this connection, if it still does."""
    kept: dict[str, Any] | None = request.session.get(SESSION_KEY)
    if kept is None:
        return None
    found = Pending(**kept)
    is_same = found.connection == connection.key and found.issuer == connection.issuer
    return found if is_same and time.time() - found.since < LIFE_SECONDS else None


def drop(request: HttpRequest) -> None:
    """Forget the identity that waits in this session."""
    request.session.pop(SESSION_KEY, None)


def send_confirmation(
    request: HttpRequest, connection: SSOConnection, pending: Pending, user: User
) -> bool:
    """Mail the confirmation link to the address of the account; return whether it was sent."""
    if pending.mails >= MOST_MAILS:
        return False
    request.session[SESSION_KEY] = {**asdict(pending), "mails": pending.mails + 1}
    token = signing.dumps([pending.nonce, pending.user], salt=SALT)
    path = reverse("sso:link_by_mail", args=[connection.key, token])
    context = {"connection": connection, "url": settings.PORTAL_URL + path}
    get_adapter(request).send_mail("sso/mail/link", user.email, context)
    return True


def is_confirmed_by(pending: Pending, token: str) -> bool:
    """Return whether a confirmation link was mailed for the identity that waits."""
    try:
        said = signing.loads(token, salt=SALT, max_age=LIFE_SECONDS)
    except signing.BadSignature:
        return False
    return bool(said == [pending.nonce, pending.user])
