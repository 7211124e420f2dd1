"""The one gate of every tenant view: load the object, check that the user may see it, then the
permission, then stamp.

An outsider gets 404, because the existence of the object is not disclosed; a person who sees it but
lacks the permission gets 403 with the role that allows it. A test walks the URLconf and fails on
any view without a stamp.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase

from apps.access.queries import Denial, explain_denial, note_held, with_held
from apps.access.roles.catalogue import PERMISSIONS
from apps.access.scopes import Scoped
from apps.core.kept_queries import Asked, KeptRows, asked
from apps.core.web.gates import View

READING = frozenset({"GET", "HEAD", "OPTIONS"})


class PermissionMissing(PermissionDenied):
    """Carries the object and the permission to the 403 page."""

    def __init__(self, *, permission: str, on: Scoped) -> None:
        super().__init__(f"The permission {permission} is missing.")
        self.permission = permission
        self.on: Any = on

    def denial(self) -> Denial:
        return explain_denial(permission=self.permission, on=self.on)


def require(*, user: Any, permission: str, on: Scoped) -> None:
    """Raise PermissionMissing unless the user holds the permission on the object."""
    if not user.has_perm(permission, on):
        raise PermissionMissing(permission=permission, on=on)


def scoped(model: Any, permission: str, *, by: str, writing: str = "") -> Callable[[View], View]:
    """Replace the URL argument `by` of the view by the object; `writing` is the permission of
    unsafe methods.

    One query: the object with all above it, and the user's permissions on them. Seeing an object
    is the permission `<scope>.view`, the same that `visible_to` checks. A model names in
    `shown_with` what its pages always need beside it.
    """
    unknown = {permission, writing} - {""} - PERMISSIONS.keys()
    if unknown:
        raise ValueError(f"No such permission: {unknown}")

    def decorate(view: View) -> View:
        @wraps(view)
        @login_required
        def gate(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            obj = _rows(model, by).one(user=request.user.pk, named=kwargs.pop(by))
            if obj is None:
                raise Http404
            note_held(user=request.user, on=obj)
            if not request.user.has_perm(f"{model.access_scope}.view", obj):
                raise Http404
            request.scope_object = obj  # type: ignore[attr-defined]  # for navigation
            needed = permission if request.method in READING else writing or permission
            require(user=request.user, permission=needed, on=obj)
            return view(request, obj, *args, **kwargs)

        # Read by the view guard.
        gate.access_stamp = (model.access_scope, permission, writing)  # type: ignore[attr-defined]
        return gate

    return decorate


@cache
def _rows(model: Any, by: str) -> KeptRows[Any]:
    """Write the query of an object with all above it and what a user holds there. Every page asks
    it first, and to write it takes longer than to read the answer.
    """
    beside = [path for path in model.access_paths.values() if path]
    beside += getattr(model, "shown_with", ())
    rows = with_held(model.objects.select_related(*beside), user_id=Asked("user"))
    return KeptRows(rows.filter(**{by: asked("named")}))
