"""How long a session lives, which ones a person has, and when a sign-in is fresh.

A session ends after a time without use, and after a time whatever its use; Django's own expiry is
moved by every write and knows neither. Two times in the session hold when it began and was last
used.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from allauth.account.internal.flows.reauthentication import (
    did_recently_reauthenticate,
    get_reauthentication_flows,
)
from allauth.core.exceptions import ReauthenticationRequired
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.cached_db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User
from apps.core.web.gates import View

SIGNED_IN_AT = "signed_in_at"
SEEN_AT = "seen_at"
CONFIRMED_AT = "confirmed_at"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
STALE = "For your security, confirm it’s you, then submit this again."
BROWSERS = (
    ("Edg/", "Edge"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def why_over(session: Mapping[str, Any], *, now: float) -> str:
    """Return why a session has to end, empty if it may continue. Times in Unix seconds."""
    began = session.get(SIGNED_IN_AT, now)
    if now - began >= settings.SESSION_ABSOLUTE_LIMIT.total_seconds():
        return (
            f"You were signed out: sessions end after {settings.SESSION_ABSOLUTE_LIMIT.days} days."
        )
    if now - session.get(SEEN_AT, began) >= settings.SESSION_IDLE_LIMIT.total_seconds():
        hours = settings.SESSION_IDLE_LIMIT.total_seconds() / 3600
        return f"You were signed out after {hours:.0f} hours of inactivity."
    return ""


def signed_in_lately(session: Mapping[str, Any], *, now: float) -> bool:
    """Return whether the session began, or was confirmed at an identity provider, so recently that
    no new confirmation is needed.
    """
    since: float = now - max(session.get(SIGNED_IN_AT, now), session.get(CONFIRMED_AT, 0.0))
    return since < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def note_confirmation(request: HttpRequest) -> None:
    """Record that an identity provider has just confirmed who is signed in."""
    request.session[CONFIRMED_AT] = time.time()


def fresh_sign_in(view: View) -> View:
    """Require a fresh sign-in or confirmation before a sensitive change.

    Put it below the gate that checks permissions. What was posted is kept in the session and done
    after the confirmation, so use it on no form that takes a secret.
    """
    return _asking(view, _is_writing)


def fresh_sign_in_first(view: View) -> View:
    """Require a fresh sign-in or confirmation before a form that takes a secret is shown.

    Put it below the gate that checks permissions. Nothing that is posted is kept: the view asks
    `is_sign_in_fresh` and refuses in the form, which keeps all but the secret.
    """
    return _asking(view, _is_reading)


def fresh_sign_in_throughout(view: View) -> View:
    """Require a fresh sign-in or confirmation before a page that adds a way to sign in. What is
    posted to it later is not kept: the page is shown again.

    allauth asks by itself, but not those who have neither password nor second factor here.
    """

    @wraps(view)
    def gate(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if _is_writing(request) and not is_sign_in_fresh(request):
            messages.warning(request, STALE)
            return redirect(request.path)
        return asking(request, *args, **kwargs)

    asking = _asking(view, _is_reading)
    return gate


def is_sign_in_fresh(request: HttpRequest) -> bool:
    """Return whether the person signed in, or confirmed who they are, lately."""
    if signed_in_lately(request.session, now=time.time()):
        return True
    # allauth treats people who have nothing to confirm with as confirmed.
    has_something = bool(get_reauthentication_flows(request.user))
    return has_something and bool(did_recently_reauthenticate(request))


def _asking(view: View, asks: Callable[[HttpRequest], bool]) -> View:
    @wraps(view)
    def gate(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if asks(request) and not is_sign_in_fresh(request):
            raise ReauthenticationRequired
        return view(request, *args, **kwargs)

    gate.asks_who_is_there = True  # type: ignore[attr-defined]  # read by the view guard
    return gate


def _is_writing(request: HttpRequest) -> bool:
    return request.method not in READING


def _is_reading(request: HttpRequest) -> bool:
    return request.method in READING


def write_down_session(*, request: HttpRequest, **_: Any) -> None:
    """Record a new session for the person's list of sessions. allauth would first load every
    session that they ever had; those that have ended are removed by the daily cleanup.
    """
    UserSession.objects.create_from_request(request)


@dataclass(frozen=True)
class SessionRow:
    """One session as its owner reads it."""

    id: int
    browser: str
    address: str
    began_at: Any
    seen_at: Any
    is_current: bool


def sessions_of(*, user: User, current_key: str | None) -> list[SessionRow]:
    """List the sessions of a person that still work, the current one first, then by last use."""
    alive = Session.objects.filter(expire_date__gt=timezone.now()).values("session_key")
    rows = [
        SessionRow(
            id=one.pk,
            browser=browser_name(one.user_agent),
            address=one.ip,
            began_at=one.created_at,
            seen_at=one.last_seen_at,
            is_current=one.session_key == current_key,
        )
        for one in UserSession.objects.filter(user=user, session_key__in=alive)
    ]
    return sorted(rows, key=lambda row: (row.is_current, row.seen_at), reverse=True)


def browser_name(user_agent: str) -> str:
    """Name a browser by its user agent: “Firefox on Linux”."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "Unknown browser")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser


def session_id_of(*, user: User, session_key: str | None) -> str:
    """Return a public id of a session, "" before it is recorded."""
    found = UserSession.objects.filter(user=user, session_key=session_key or "").first()
    return str(found.pk) if found else ""


def is_session_open(*, user: User, session_id: str) -> bool:
    """Return whether the session with this name (see `session_id_of`) was not ended yet."""
    if not (session_id.isascii() and session_id.isdecimal() and len(session_id) < 19):
        return False
    found = UserSession.objects.filter(user=user, pk=int(session_id)).first()
    return found is not None and bool(found.exists())


@dataclass(frozen=True)
class OpenSession:
    """A session in which a person is signed in, with its secret key."""

    user: User
    key: str


def open_session(*, session_id: str, now: float) -> OpenSession | None:
    """Return the session with this public id (see `session_id_of`) if its person could use it now:
    it was not ended, has not expired, and the password is still that of the sign-in. `now` is in
    Unix seconds. Two queries, one of them mostly answered by the cache.
    """
    if not (session_id.isascii() and session_id.isdecimal() and len(session_id) < 19):
        return None
    found = UserSession.objects.select_related("user").filter(pk=int(session_id)).first()
    if found is None:
        return None
    data = SessionStore(found.session_key).load()
    user, proof = cast(User, found.user), str(data.get(HASH_SESSION_KEY, ""))
    is_theirs = str(data.get(SESSION_KEY, "")) == str(user.pk)
    is_theirs = is_theirs and constant_time_compare(proof, user.get_session_auth_hash())
    if not user.is_active or not is_theirs or why_over(data, now=now):
        return None
    return OpenSession(user=user, key=found.session_key)


def end_session(*, session_key: str) -> None:
    """End one session at once, wherever it is open."""
    for row in UserSession.objects.filter(session_key=session_key):
        row.end()


def end_sessions(*, user: User, keep_key: str | None = None) -> int:
    """End all sessions of a person but the one to keep; return how many were ended."""
    rows = list(UserSession.objects.filter(user=user).exclude(session_key=keep_key or ""))
    for row in rows:
        row.end()
    return len(rows)
