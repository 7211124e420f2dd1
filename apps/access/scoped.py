"""The one gate of every tenant view: load within what the user may see, then check, then stamp.

An outsider gets 404, for he must not learn that the object exists; somebody who sees it but lacks the permission
gets 403 with the role that would do. A test walks the URLconf and fails on any view without a stamp.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from apps.access.catalogue import PERMISSIONS
from apps.access.queries import Denial, explain_denial

View = Callable[..., HttpResponse]


class PermissionMissing(PermissionDenied):
    """Carries the object and the permission to the 403 page."""

    def __init__(self, *, permission: str, on: Any) -> None:
        super().__init__(f"The permission {permission} is missing.")
        self.permission = permission
        self.on = on

    def denial(self) -> Denial:
        return explain_denial(permission=self.permission, on=self.on)


def require(*, user: Any, permission: str, on: Any) -> None:
    """Raise PermissionMissing unless the user holds the permission on the object."""
    if not user.has_perm(permission, on):
        raise PermissionMissing(permission=permission, on=on)


def scoped(model: Any, permission: str, *, by: str, writing: str = "") -> Callable[[View], View]:
    """Replace the URL argument `by` of the view by the object; `writing` is the permission of unsafe methods."""
    assert permission in PERMISSIONS
    assert not writing or writing in PERMISSIONS
    related = [path for path in model.access_paths.values() if path]

    def decorate(view: View) -> View:
        @wraps(view)
        @login_required
        def gate(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            seen = model.objects.visible_to(request.user).select_related(*related)
            obj = get_object_or_404(seen, **{by: kwargs.pop(by)})
            is_reading = request.method in ("GET", "HEAD", "OPTIONS")
            require(user=request.user, permission=permission if is_reading else writing or permission, on=obj)
            request.scope_object = obj  # type: ignore[attr-defined]  # for navigation
            return view(request, obj, *args, **kwargs)

        gate.access_stamp = (model.access_scope, permission, writing)  # type: ignore[attr-defined]
        return gate

    return decorate


def signed_in_only(view: View) -> View:
    """Mark a view that needs a person but no object: home, account pages, search (which filters itself)."""
    gate = login_required(view)
    gate.access_stamp = ("signed-in", "", "")  # type: ignore[attr-defined]
    return gate


def open_to_all(view: View) -> View:
    """Mark a view that anybody may call: health, sign-in links, invitations by token."""
    view.access_stamp = ("open", "", "")  # type: ignore[attr-defined]
    return view


def operator_only(view: View) -> View:
    """Mark a page about this installation itself. Others get 404: it is not theirs to know."""

    @wraps(view)
    @login_required
    def gate(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        get_object_or_404(type(request.user)._default_manager.filter(is_operator=True), pk=request.user.pk)
        return view(request, *args, **kwargs)

    gate.access_stamp = ("operator", "", "")  # type: ignore[attr-defined]
    return gate
