"""Gates of views that are about no tenant object.

Each leaves a stamp: a test walks the URLconf and fails on any view without one.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase

View = Callable[..., HttpResponseBase]


def signed_in_only(view: View) -> View:
    """Mark a view that needs a person but no object: home, account, search (it filters itself)."""
    gate = login_required(view)
    # Read by the view guard.
    gate.access_stamp = ("signed-in", "", "")  # type: ignore[attr-defined]
    return gate


def open_to_all(view: View) -> View:
    """Mark a view that anyone may call: health, sign-in links, invitations by token."""
    view.access_stamp = ("open", "", "")  # type: ignore[attr-defined]  # read by the view guard
    return view


def keeps_address_private(view: View) -> View:
    """Keep browsers from sending this page's address as referrer: the token in it still works.

    Not `no-referrer`: with it they send the form with `Origin: null`, which the CSRF check refuses.
    """

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = "strict-origin"
        return response

    return answer


def operator_only(view: View) -> View:
    """Mark a page about this installation itself. Others get 404: it is not theirs to know."""

    @wraps(view)
    @login_required
    def gate(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not getattr(request.user, "is_operator", False):
            raise Http404
        return view(request, *args, **kwargs)

    gate.access_stamp = ("operator", "", "")  # type: ignore[attr-defined]  # read by the view guard
    return gate
