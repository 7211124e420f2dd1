"""Programs that a person signed in through the browser.

Their tokens are allauth's: an access token of an hour, and a refresh token that is replaced at each
use. Both carry the ID of the login that they belong to; a login ends as a whole.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.idp.oidc.models import Token
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.queries import digest_of
from apps.core.errors import PortalError
from apps.organizations.models import Organization
from apps.organizations.tokens.queries import fingerprint_of

ACCESS, REFRESH = Token.Type.ACCESS_TOKEN, Token.Type.REFRESH_TOKEN
# However often its tokens are replaced, as for a personal token.
LONGEST = timedelta(days=90)


class LoginEnded(PortalError):
    """A refresh token is worth nothing any more."""


@dataclass(frozen=True)
class Login:
    """One program that is signed in. `used_at` is when it got its last token, at most an hour ago
    while it is in use. `has_ended` where the password was changed since.
    """

    id: str
    program: str
    address: str
    began_at: datetime
    used_at: datetime
    ends_at: datetime
    has_ended: bool


def logins_of(*, user: User) -> list[Login]:
    """List the programs that are signed in as a person, the newest first."""
    rows = Token.objects.valid().filter(user=user, type=REFRESH).select_related("client")
    found = [_login(row, user) for row in rows if _is_ours(row)]
    return sorted(found, key=lambda one: one.began_at, reverse=True)


def proofs_of(user: User) -> str:
    """Return what changes with the password and the second factors of a person, and tells nothing
    of them. One query.
    """
    factors = Authenticator.objects.filter(user=user).order_by("pk").values_list("pk", flat=True)
    return digest_of(f"{fingerprint_of(user)}:{list(factors)}")


def check_login(*, refresh_token: str) -> dict[str, Any] | None:
    """Return the notes of a login that may go on; None where the text is no refresh token.

    Raises LoginEnded, and ends the login, when it has lasted too long or the password is another.
    """
    row = Token.objects.select_related("user").lookup(REFRESH, refresh_token)
    if row is None or not _is_ours(row):
        return None
    notes: dict[str, Any] = row.data
    is_over = timezone.now() - _began_at(row) > LONGEST
    if is_over or notes["fingerprint"] != fingerprint_of(row.user):
        _rows_of(row.user, notes["login"]).delete()
        raise LoginEnded("This sign-in has ended. Sign in again: astro login.")
    return notes


def make_tokens(*, user: User, client_id: str) -> dict[str, Any]:
    """Make an access and a refresh token, and return the answer that a program gets (RFC 6749,
    section 5.1). Call `note_login` with them.
    """
    made = {name: secrets.token_urlsafe(64) for name in ("access_token", "refresh_token")}
    lives = {
        "access_token": (ACCESS, settings.IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN),
        "refresh_token": (REFRESH, settings.IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN),
    }
    for name, (kind, seconds) in lives.items():
        ends_at = timezone.now() + timedelta(seconds=seconds)
        row = Token(user=user, client_id=client_id, type=kind, expires_at=ends_at)
        row.set_value(made[name])
        row.save(force_insert=True)
    return {"token_type": "Bearer", "expires_in": lives["access_token"][1], **made}


@transaction.atomic
def note_login(
    *, tokens: Iterable[str], notes: dict[str, Any] | None, program: str, address: str
) -> None:
    """Tie tokens that were just made to a login: to the one whose notes these are, or to a new one,
    which the audit log of each organization of the person tells.
    """
    wanted = Q()
    for text in tokens:
        wanted |= Q(pk__in=Token.objects.by_value(text))
    rows = list(Token.objects.filter(wanted, user__isnull=False).select_related("user", "client"))
    if not rows:
        return
    user = rows[0].user
    kept = notes or {
        "login": secrets.token_hex(16),
        "began_at": timezone.now().isoformat(),
        "program": program,
        "address": address,
        "fingerprint": fingerprint_of(user),
    }
    for row in rows:
        row.data = kept
        row.save(update_fields=["data"])
    if notes is None:
        _record("program.signed_in", user, [None, f"{program} from {address}"])


@transaction.atomic
def end_login(*, user: User, login_id: str) -> bool:
    """Sign a program of one's own out at once; return whether there was one."""
    rows = _rows_of(user, login_id)
    first = rows.first()
    if first is None:
        return False
    _record("program.signed_out", user, [first.data["program"], None])
    rows.delete()
    return True


def end_login_of(*, token: str) -> None:
    """Sign the program of a token out. Nothing happens for what is no token."""
    row = Token.objects.select_related("user").lookup_by_value([ACCESS, REFRESH], token)
    if row is not None and _is_ours(row):
        end_login(user=row.user, login_id=row.data["login"])


def end_logins(*, user: User) -> int:
    """Sign all programs of a person out; return how many there were."""
    ended = len(logins_of(user=user))
    Token.objects.filter(user=user).delete()
    return ended


def end_logins_at(*, domain: str) -> None:
    """Sign out the programs of all people whose addresses are at a domain."""
    Token.objects.filter(user__email__endswith=f"@{domain}").delete()


def remove_expired() -> int:
    """Delete tokens that have expired; return how many."""
    return int(Token.objects.expired().delete()[0])


def _rows_of(user: User, login_id: str) -> Any:
    return Token.objects.filter(user=user, data__login=login_id)


def _is_ours(row: Token) -> bool:
    return isinstance(row.data, dict) and "login" in row.data


def _login(row: Token, user: User) -> Login:
    return Login(
        id=row.data["login"],
        program=row.data["program"],
        address=row.data["address"],
        began_at=_began_at(row),
        used_at=row.created_at,
        ends_at=min(row.expires_at, _began_at(row) + LONGEST),
        has_ended=row.data["fingerprint"] != fingerprint_of(user),
    )


def _began_at(row: Token) -> datetime:
    return parse_datetime(row.data["began_at"]) or row.created_at


def _record(action: str, user: User, change: list[str | None]) -> None:
    for organization in Organization.objects.visible_to(user):
        record_on(action=action, actor=user, on=organization, changes={"program": change})
