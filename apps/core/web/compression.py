"""Compress pages whose size reveals nothing about their content. The reasons are in the decision on
compression, under docs/adr.
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

READING = frozenset({"GET", "HEAD"})
# What browsers say of a request that this site's own pages or the person began.
OWN_REQUESTS = frozenset({"same-origin", "none"})


class CompressPages(GZipMiddleware):
    """Compress HTML, unless it may show a secret or another site asked for it.

    Django's middleware does the rest: it adds a random length, weakens the ETag and says
    `Vary: Accept-Encoding`.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not _is_safe_to_compress(request, response):
            return response
        return super().process_response(request, response)


def _is_safe_to_compress(request: HttpRequest, response: HttpResponseBase) -> bool:
    if response.streaming or not response.headers.get("Content-Type", "").startswith("text/html"):
        return False
    # A secret is shown in answer to a POST, or on a page that no cache may keep.
    if request.method not in READING or "no-store" in response.headers.get("Cache-Control", ""):
        return False
    # Over plain http browsers do not say who asked, and whoever sees the size sees the page.
    asked_by = request.headers.get("Sec-Fetch-Site", "" if request.is_secure() else "none")
    return asked_by in OWN_REQUESTS
