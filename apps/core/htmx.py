"""The few things a view or middleware must know of htmx."""

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect as plain_redirect
from django.shortcuts import resolve_url

GetResponse = Callable[[HttpRequest], HttpResponse]


def is_fragment(request: HttpRequest) -> bool:
    """Return whether the browser wants one element and not a page."""
    return (
        request.headers.get("HX-Request") == "true"
        and request.headers.get("HX-Request-Type") != "full"
    )


def redirect(request: HttpRequest, url: str) -> HttpResponse:
    """Send the whole browser window to `url`, whether a form or htmx asked."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(headers={"HX-Redirect": resolve_url(url)})
    return plain_redirect(url)


def unchanged(request: HttpRequest, tag: str) -> HttpResponse | None:
    """Return a 304 if the polling element shows `tag` already, else None: render it `tagged`."""
    if request.headers.get("HX-PTag") == tag:
        return HttpResponse(status=304)
    return None


def tagged(response: HttpResponse, tag: str) -> HttpResponse:
    """Set the version tag that the polling element sends back with its next request."""
    response["HX-PTag"] = tag
    response["Vary"] = "HX-Request, Cookie"
    return response


class SignInAgain:
    """When a session ends under an open page, take the window to sign-in and back to that page.

    Without it a polled card would be replaced by the sign-in form.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        login_url = resolve_url(settings.LOGIN_URL)
        if (
            request.headers.get("HX-Request") != "true"
            or response.status_code != 302
            or urlsplit(response.get("Location", "")).path != urlsplit(login_url).path
        ):
            return response
        page = urlsplit(request.headers.get("HX-Current-URL", ""))
        query = urlencode({"next": page.path + (f"?{page.query}" if page.query else "")})
        return HttpResponse(headers={"HX-Redirect": f"{login_url}?{query}"})
