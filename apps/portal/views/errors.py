"""What people see when a request fails. Each page names the request id that is in the log."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.access.scoped import PermissionMissing
from apps.portal.navigation import address_of


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    context: dict[str, object] = {}
    if isinstance(exception, PermissionMissing):
        context["denial"] = exception.denial()
        address = address_of(exception.on)
        if address:
            context |= {"back_url": address, "back_label": f"Back to {exception.on}"}
    return render(request, "403.html", context, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    return render(request, "500.html", status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "403_csrf.html", status=403)
