"""Where a person proves that the account which an identity is about to be linked to is theirs."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.accounts.models import User
from apps.accounts.sessions.services import is_sign_in_fresh
from apps.core.errors import Refused
from apps.core.web.gates import open_to_all
from apps.sso.linking.services import link_with_proof
from apps.sso.models import SSOConnection
from apps.sso.sign_in.adapter import problem
from apps.sso.sign_in.pending import (
    Pending,
    drop,
    is_confirmed_by,
    pending_of,
    send_confirmation,
)
from apps.sso.sign_in.saml_views import OVER

SENT = "An email with a link was sent to {}. Open the link in this browser."
ENOUGH = "Enough emails were sent. Wait for the last one, or begin the sign-in again."


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def link(request: HttpRequest, connection_key: str) -> HttpResponse:
    """Ask for a proof: a sign-in to the account by other means, or a confirmation by mail."""
    connection = get_object_or_404(_connections(), key=connection_key)
    pending = pending_of(request, connection)
    if pending is None:
        return problem(request, connection, OVER)
    user = get_object_or_404(User, pk=pending.user, is_active=True)
    is_theirs = request.user.pk == user.pk
    if request.method == "POST" and is_theirs and is_sign_in_fresh(request):
        return _link(request, connection, pending, user, keep_key=request.session.session_key)
    if request.method == "POST" and not pending.replaces:
        is_sent = send_confirmation(request, connection, pending, user)
        add = messages.success if is_sent else messages.error
        add(request, SENT.format(user.email) if is_sent else ENOUGH)
        return redirect("sso:link", connection_key=connection.key)
    context = {
        "connection": connection,
        "account": user,
        "pending": pending,
        "is_theirs": is_theirs,
        "is_fresh": is_theirs and is_sign_in_fresh(request),
    }
    return render(request, "sso/sign_in/link.html", context)


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def link_by_mail(request: HttpRequest, connection_key: str, token: str) -> HttpResponse:
    """Link the identity that waits in this browser, by the link that was mailed for it."""
    connection = _connections().filter(key=connection_key).first()
    pending = pending_of(request, connection) if connection else None
    user = User.objects.filter(pk=pending.user, is_active=True).first() if pending else None
    if (
        connection is None
        or pending is None
        or user is None
        or pending.replaces
        or not is_confirmed_by(pending, token)
    ):
        # Not an error: its address, which holds the token, would be logged.
        return render(request, "sso/sign_in/link_unusable.html")
    if request.method == "POST":
        return _link(request, connection, pending, user)
    context = {"connection": connection, "account": user}
    return render(request, "sso/sign_in/link_by_mail.html", context)


def _link(
    request: HttpRequest,
    connection: SSOConnection,
    pending: Pending,
    user: User,
    keep_key: str | None = None,
) -> HttpResponse:
    drop(request)
    try:
        link_with_proof(
            connection=connection, subject=pending.subject, user=user, keep_key=keep_key
        )
    except Refused as error:
        return problem(request, connection, error.message)
    messages.success(request, f"{user.email} is linked to {connection.name}.")
    if keep_key is not None:
        return redirect("portal:home")
    context = {"connections": [connection], "email": user.email}
    return render(request, "sso/sign_in/linked.html", context)


def _connections() -> QuerySet[SSOConnection]:
    rows = SSOConnection.objects.filter(is_enabled=True)
    return rows.select_related("organization", "configured_by")
