"""The mark that a bypass link leaves on a session: passwords of that organization work in it."""

from typing import Any

from django.http import HttpRequest

from apps.organizations.models import Organization

SESSION_KEY = "sso_bypass"


def open_bypass(request: HttpRequest, organization: Organization) -> None:
    """Let this browser sign in with passwords to accounts of an organization."""
    request.session[SESSION_KEY] = organization.pk


def has_bypass(request: Any, organization: Organization) -> bool:
    """Return whether this session was opened by the bypass link of an organization."""
    return bool(request.session.get(SESSION_KEY) == organization.pk)
