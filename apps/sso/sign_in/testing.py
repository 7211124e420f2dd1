"""The end of a test sign-in: its result is shown to the administrator, without a sign-in."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.sso.connections.services import note_test
from apps.sso.models import SSOConnection
from apps.sso.queries import owns_address
from apps.sso.sign_in.identities import Identity, counts, why_unverified

SESSION_KEY = "sso_test"


def begin_test(request: HttpRequest, connection: SSOConnection) -> None:
    """Mark this session as one that tests a connection."""
    request.session[SESSION_KEY] = connection.key


def is_testing(request: HttpRequest, connection: SSOConnection) -> bool:
    """Return whether a failure belongs to a test that was begun in this session."""
    return request.session.get(SESSION_KEY) == connection.key


def end_test(
    request: HttpRequest,
    connection: SSOConnection,
    identity: Identity | None,
    *,
    message: str = "",
) -> HttpResponse:
    """Store the result of a test, and redirect to the connection's page."""
    request.session.pop(SESSION_KEY, None)
    result = result_of(connection, identity, message=message)
    note_test(connection=connection, result=result, now=timezone.now())
    if result["is_ok"]:
        messages.success(request, "The test succeeded.")
    else:
        messages.error(request, f"The test failed. {result['message']}")
    return redirect(
        "sso:connection", slug=connection.organization.slug, connection_key=connection.key
    )


def result_of(
    connection: SSOConnection, identity: Identity | None, *, message: str = ""
) -> dict[str, Any]:
    """Evaluate a test by what a sign-in requires."""
    at = timezone.now().isoformat()
    if identity is None:
        return {"is_ok": False, "message": message, "at": at}
    if not identity.email:
        message = "No email address was sent: check the name of its attribute."
    elif not owns_address(connection=connection, email=identity.email):
        message = f"{identity.email} is not in a verified domain of {connection.organization}."
    elif connection.approved_at is not None and not counts(
        connection=connection, identity=identity
    ):
        message = why_unverified(connection=connection, email=identity.email)
    return {
        "is_ok": not message,
        "message": message,
        "at": at,
        "subject": identity.subject[:200],
        "email": identity.email,
        "name": identity.name,
        "groups": list((identity.groups or ())[:50]),
        "is_overage": identity.groups is None,
    }
