"""Addresses of this portal: the numbers in them, and to which ones a request may send a browser."""

from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

LONGEST, LONGEST_NUMBER = 2_000, 18
# Proxies and servers on the way may each decode a path once.
DECODED_TIMES = 3


def number_in(text: str, *, most: int = 999_999) -> int | None:
    """Return a number of an address, `most` for a larger one, None for anything else."""
    is_number = text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER
    return min(int(text), most) if is_number else None


def address_with(request: HttpRequest, **filters: str) -> str:
    """Return the address of this page with other filters, at its first page; "" ends a filter."""
    query = request.GET.copy()
    query.pop("page", None)
    for name, value in filters.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return f"?{query.urlencode()}" if query else request.path


def is_own_address(url: str) -> bool:
    """Return whether an address is a page of this portal: a path, or one below PORTAL_URL.

    The host of the request does not count: the client names it. A path that climbs is refused, in
    whichever encoding: a browser, a proxy or a server may read it as another one.
    """
    hosts = {urlsplit(settings.PORTAL_URL).netloc}
    if len(url) > LONGEST or not url.isascii() or not url.isprintable():
        return False
    if not url_has_allowed_host_and_scheme(url, hosts, require_https=settings.IS_TLS):
        return False
    return is_plain_path(urlsplit(url).path)


def is_plain_path(path: str) -> bool:
    """Return whether a path means the same however often its escapes are decoded: it does not
    climb, holds no backslash and no control character, and does not become a host.
    """
    for _ in range(DECODED_TIMES):
        climbs = any(part in (".", "..") for part in path.split("/"))
        if climbs or "\\" in path or path.startswith("//") or not path.isprintable():
            return False
        decoded = unquote(path)
        if decoded == path:
            return True
        path = decoded
    return False
