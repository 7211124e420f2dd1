"""What people see when a request fails. Each page names the request id that is in the log."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse

from apps.access.scoped import PermissionMissing
from apps.portal.navigation import address_of

RETRY_AFTER_SECONDS = 5


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    context = _layout(request)
    if isinstance(exception, PermissionMissing):
        context["denial"] = exception.denial()
        if request.user.has_perm(f"{type(exception.on).access_scope}.members.view", exception.on):
            context["who_url"] = _who_page(exception)
        context |= _way_back(exception.on)
    return render(request, "403.html", context, status=403)


def _who_page(missing: PermissionMissing) -> str:
    """Return the address of the page that explains who has the permission, if there is one."""
    scope, key = type(missing.on).access_scope, getattr(missing.on, "ref", "")
    if scope == "deployment":
        page = reverse("deployments:who", args=[key])
    elif scope == "workspace":
        page = reverse("organizations:workspace_who", args=[missing.on.slug])
    elif hasattr(missing.on, "slug"):
        page = reverse("organizations:who", args=[missing.on.slug])
    else:
        return ""
    return f"{page}?permission={missing.permission}"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", _layout(request), status=404)


def method_not_allowed(request: HttpRequest) -> HttpResponse:
    """Explain an address that takes forms only. The gate has let the person through to it."""
    back = _way_back(getattr(request, "scope_object", None))
    return render(request, "405.html", _layout(request) | back, status=405)


def _layout(request: HttpRequest) -> dict[str, object]:
    """Keep the navigation for who is signed in. What a gate did not load it cannot name."""
    user = getattr(request, "user", None)
    is_signed_in = user is not None and user.is_authenticated
    return {"layout": "layouts/app.html"} if is_signed_in else {}


def _way_back(on: object) -> dict[str, object]:
    address = address_of(on)
    return {"back_url": address, "back_label": f"Back to {on}"} if address else {}


def server_error(request: HttpRequest) -> HttpResponse:
    # Django calls this while it handles the error. No context processor runs: they ask the
    # database, too.
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        page = render_to_string("503.html", {"request": request})
        return HttpResponse(page, status=503, headers={"Retry-After": RETRY_AFTER_SECONDS})
    return HttpResponse(render_to_string("500.html", {"request": request}), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "403_csrf.html", status=403)
