"""What a person opened last, for Home and search. It is in the session, so it belongs to one
browser and ends with the sign-in; no other session can read it, and no table has to be emptied.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponseBase

from apps.core.web.htmx import is_fragment
from apps.deployments.models import Deployment
from apps.organizations.models import Workspace

KEPT = 12
KEY = "recent"


class NoteRecent:
    """Note the Deployment or workspace of every page that was shown."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.method == "GET" and response.status_code == 200 and not is_fragment(request):
            note(request.session, getattr(request, "scope_object", None))
        return response


def note(session: SessionBase, on: Any) -> None:
    """Put a Deployment or workspace first. A page that is opened again writes nothing."""
    if not isinstance(on, (Deployment, Workspace)):
        return
    entry = [type(on).access_scope, on.pk]
    kept = session.get(KEY, [])
    if kept[:1] != [entry]:
        session[KEY] = [entry, *(one for one in kept if one != entry)][:KEPT]


def recent_ids(session: SessionBase, scope: str) -> list[int]:
    """List the ids of the Deployments ("deployment") or workspaces opened last, newest first."""
    return [pk for kind, pk in session.get(KEY, []) if kind == scope]
