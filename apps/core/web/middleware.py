import logging
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from threading import BoundedSemaphore

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.template.loader import render_to_string

from apps.core.context import RequestContext, enter_request, leave_request

GetResponse = Callable[[HttpRequest], HttpResponse]
logger = logging.getLogger(__name__)
LARGE_BODY_BYTES = 64 * 1024
UPLOAD_RETRY = "5"
HOST_AND_PORT = re.compile(r'"?(?:\[([^\]]+)\](?::\d+)?|([^:\[\]]+):\d+)"?')
FORWARDED = re.compile(r"HTTP_(?:X_FORWARDED(?:_.*)?|FORWARDED|X_REAL_IP)")


class BelieveNamedProxies:
    """Drop what says for whom a request was passed on, unless one of the operator's proxies says
    so: any client can write such a header. Before all that reads one, Django itself included.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_from_proxy(request):
            for name in [name for name in request.META if FORWARDED.fullmatch(name)]:
                del request.META[name]
                if settings.TRUSTED_PROXY_COUNT:
                    _say_once(_peer(request))
        return self.get_response(request)


class RequestContextMiddleware:
    """Give each request an id, returned to the client and written to logs and audit events."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = secrets.token_hex(8)
        request.request_id = request_id  # type: ignore[attr-defined]  # for error pages and logs
        token = enter_request(
            RequestContext(request_id=request_id, address=client_address(request))
        )
        try:
            response = self.get_response(request)
        finally:
            leave_request(token)
        response["X-Request-ID"] = request_id
        return response


class RefuseUnstorableText:
    """Refuse what PostgreSQL text cannot hold: NUL bytes, and halves of characters, which JSON can
    name. No person types one.

    Addresses and queries are looked at before; fields and JSON when the database is asked for them.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", "") or "\0" in request.path_info:
            raise BadRequest("An address holds a NUL byte.")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if is_unstorable(exception):
            logger.warning("a value that the database cannot hold", exc_info=exception)
            raise BadRequest("A value cannot be stored.") from exception


def is_unstorable(error: BaseException) -> bool:
    """Return whether an error says that a value sent by a client is none that a column can hold."""
    if isinstance(error, UnicodeEncodeError):
        return error.reason == "surrogates not allowed"
    return isinstance(error, DataError) or "NUL (0x00)" in str(error)


class LimitUploads:
    """Take few large bodies at once, and refuse more before they are read: each takes a thread
    until its client has sent all of it, and pages need threads, too.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.slots = BoundedSemaphore(settings.UPLOADS_AT_ONCE)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_large(request):
            return self.get_response(request)
        if not self.slots.acquire(blocking=False):
            # No context processor runs: nothing is known of the visitor yet.
            page = render_to_string("503_uploads.html", {"request": request})
            return HttpResponse(page, status=503, headers={"Retry-After": UPLOAD_RETRY})
        try:
            return self.get_response(request)
        finally:
            self.slots.release()

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The client left, or was too slow for the web server."""
        return HttpResponse(status=408) if isinstance(exception, UnreadablePostError) else None


def _is_large(request: HttpRequest) -> bool:
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdecimal():
        return "HTTP_TRANSFER_ENCODING" in request.META
    return int(length) > LARGE_BODY_BYTES


def client_address(request: HttpRequest) -> str:
    """Return the client's address: the one that the operator's proxies name, if it came through
    as many as there should be, else that of the connection.
    """
    count = settings.TRUSTED_PROXY_COUNT
    forwarded = [
        part.strip()
        for part in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
        if part.strip()
    ]
    said = forwarded[-count] if len(forwarded) >= count and _is_from_proxy(request) else ""
    return _plain(said) or _plain(_peer(request))


def _plain(said: str) -> str:
    """Return an address as a column holds it, "" where there is none: some proxies add the port or
    brackets, and an address of the link has a zone.
    """
    host = HOST_AND_PORT.fullmatch(said)
    try:
        found = ip_address((host[1] or host[2] if host else said).partition("%")[0])
    except ValueError:
        return ""
    # A listener for both families names IPv4 addresses so.
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _is_from_proxy(request: HttpRequest) -> bool:
    """Return whether the connection comes from a network of the operator's proxies."""
    networks = tuple(settings.TRUSTED_PROXY_NETWORKS)
    return settings.TRUSTED_PROXY_COUNT > 0 and _is_in(_peer(request), networks)


def _peer(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


@lru_cache(maxsize=1024)
def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    # A listener for both families names IPv4 addresses so.
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in ip_network(network) for network in networks)


@lru_cache(maxsize=128)
def _say_once(peer: str) -> None:
    logger.warning(
        "%s says for whom it passes requests on, and is not believed: it is in no network of "
        "PORTAL_TRUSTED_PROXY_NETWORKS",
        peer,
    )
