"""What each request asks of its session: whether it goes on, and that its use is recorded."""

import time
from collections.abc import Callable
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, logout
from django.contrib.sessions.backends.cached_db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import (
    READING,
    SEEN_AT,
    SIGNED_IN_AT,
    end_session,
    why_over,
)
from apps.core.web.htmx import is_fragment

GetResponse = Callable[[HttpRequest], HttpResponse]
ENDED_MEANWHILE = "You were signed out while this was sent. Nothing was changed."
# Use is recorded this often at most: it costs a write.
SEEN_STEP_SECONDS = 300


class SessionLimits:
    """End sessions that are over, and record the use of the others."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            reason = why_over(request.session, now=time.time())
            if reason:
                end_session(session_key=str(request.session.session_key))
                logout(request)
                messages.info(request, reason)
        response = self.get_response(request)
        # An answer of 500 and more may mean that the database is away.
        if response.status_code < 500 and request.user.is_authenticated:
            _note_use(request, time.time())
        return response

    def process_view(self, request: HttpRequest, *args: Any) -> None:
        """Ask again who is there once the body of a request has arrived, which the CSRF check has
        read. A client may send it as slowly as the web server lets it, and its session, or the
        password that opened it, may be gone by then.
        """
        if request.method in READING or not request.user.is_authenticated:
            return
        if not _is_open_still(request):
            logout(request)
            messages.info(request, ENDED_MEANWHILE)


class VisitorSessions:
    """Let sessions of visitors end soon: anyone can make them, in any number.

    It stands right behind Django's session middleware: messages are written on the way out.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        session = request.session
        if response.status_code >= 500 or not session.modified or session.is_empty():
            return response
        if "_session_expiry" not in session and not request.user.is_authenticated:
            session.set_expiry(int(settings.SESSION_VISITOR_LIMIT.total_seconds()))
        return response


def _note_use(request: HttpRequest, now: float) -> None:
    """Begin a session, or move the moment of its last use. Polling does not count as use."""
    session = request.session
    if SIGNED_IN_AT not in session:
        session[SIGNED_IN_AT] = session[SEEN_AT] = now
        session.set_expiry(None)  # that of a visitor was shorter
        UserSession.objects.create_from_request(request)
        return
    is_poll = request.method == "GET" and is_fragment(request)
    if is_poll or now - session.get(SEEN_AT, 0) < SEEN_STEP_SECONDS:
        return
    session[SEEN_AT] = now
    rows = UserSession.objects.filter(session_key=session.session_key)
    rows.update(last_seen_at=timezone.now())


def _is_open_still(request: HttpRequest) -> bool:
    """Return whether the session of a request is there, and is of the password that counts now."""
    proof = str(SessionStore(request.session.session_key).load().get(HASH_SESSION_KEY, ""))
    user = User.objects.filter(pk=request_user(request).pk, is_active=True).first()
    return user is not None and constant_time_compare(proof, user.get_session_auth_hash())
