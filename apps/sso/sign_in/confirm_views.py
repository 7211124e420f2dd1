"""Re-authentication at the identity provider, for people who have no password here."""

from allauth.account.internal.flows.reauthentication import resume_request
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import is_sign_in_fresh
from apps.core.web.gates import signed_in_only
from apps.sso.queries import connections_of
from apps.sso.sign_in.views import leave_for_confirmation, next_of


@signed_in_only
@never_cache
@require_GET
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask for re-authentication; afterwards the action that required it continues."""
    url = next_of(request)
    if is_sign_in_fresh(request):
        done: HttpResponse | None = resume_request(request)
        return done or redirect(url or "portal:home")
    context = {"connections": connections_of(user=request_user(request)), "next": url}
    return render(request, "sso/sign_in/confirm.html", context)


@signed_in_only
@require_POST
def confirm_at(request: HttpRequest, connection_key: str) -> HttpResponse:
    """Redirect to one of the person's own identity providers."""
    theirs = {one.key: one for one in connections_of(user=request_user(request))}
    if connection_key not in theirs:
        raise Http404
    return leave_for_confirmation(request, theirs[connection_key])
