"""The few things a view or middleware must know of htmx."""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone

GetResponse = Callable[[HttpRequest], HttpResponse]

# What differs between two renderings of the same state: words for how long ago something was, the
# notes of when the page and the data plane were asked, and form tokens, which are masked anew.
_RESTLESS = re.compile(
    rb"(?<= data-relative>)[^<]*(?=</time>)"
    rb'|<p class="live".*?</p>|<span data-checked>.*?</span>'
    rb'|<input type="hidden" name="csrfmiddlewaretoken"[^>]*>',
    re.DOTALL,
)


def is_fragment(request: HttpRequest) -> bool:
    """Return whether the browser wants one element and not a page."""
    return (
        request.headers.get("HX-Request") == "true"
        and request.headers.get("HX-Request-Type") != "full"
    )


def skip_unchanged(
    request: HttpRequest, response: HttpResponse, *, checked_at: datetime | None = None
) -> HttpResponse:
    """Answer a poll with an empty 304 if its element shows all of a rendered fragment but the time.

    The extension hx-ptag keeps the tag of what an element shows and sends it along; htmx swaps
    nothing for a 304. The times that go on by themselves travel as headers, and `live.js` writes
    them: X-As-Of, the time of the answer, and X-Checked-At, when the data plane was observed last.
    """
    if not is_fragment(request) or response.status_code != 200:
        return response
    headers = {"HX-PTag": _tag_of(response.content), "X-As-Of": _clock(timezone.now())}
    if checked_at is not None:
        headers["X-Checked-At"] = checked_at.isoformat()
    if request.headers.get("HX-PTag") == headers["HX-PTag"]:
        skipped = HttpResponse(status=304, headers=headers)
        skipped["Vary"] = response.get("Vary", "HX-Request")
        return skipped
    for name, value in headers.items():
        response[name] = value
    return response


def _tag_of(content: bytes) -> str:
    """Name what a fragment shows, whatever the clock and the form tokens in it say."""
    settled = _RESTLESS.sub(b"", content)
    return hashlib.blake2b(settled, digest_size=12).hexdigest()


def _clock(at: datetime) -> str:
    return f"{timezone.localtime(at):%H:%M:%S %Z}"


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
