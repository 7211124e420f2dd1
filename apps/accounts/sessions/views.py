from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.request_user import request_user
from apps.accounts.sessions import services as sessions
from apps.core.web.gates import signed_in_only


@signed_in_only
@require_safe
def list_sessions(request: HttpRequest) -> HttpResponse:
    rows = sessions.sessions_of(user=request_user(request), current_key=request.session.session_key)
    return render(request, "accounts/sessions.html", {"rows": rows})


@signed_in_only
@require_POST
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    row = get_object_or_404(UserSession, pk=session_id, user=request.user)
    sessions.end_session(session_key=row.session_key)
    messages.success(request, "Session ended.")
    return redirect("accounts:sessions")


@signed_in_only
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    ended = sessions.end_sessions(user=request_user(request), keep_key=request.session.session_key)
    messages.success(request, f"Sessions ended: {ended}.")
    return redirect("accounts:sessions")
