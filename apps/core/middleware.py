import secrets
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from apps.core.context import RequestContext, enter_request, leave_request

GetResponse = Callable[[HttpRequest], HttpResponse]


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


class RefuseNulBytes:
    """Refuse a query with a NUL byte: no person types one, and PostgreSQL text cannot hold one.

    Forms refuse one in what is posted.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("A query holds a NUL byte.")
        return self.get_response(request)


def client_address(request: HttpRequest) -> str:
    """Return the client's address, trusting as many proxies as the operator configured."""
    count = settings.TRUSTED_PROXY_COUNT
    forwarded = [
        part.strip()
        for part in request.headers.get("X-Forwarded-For", "").split(",")
        if part.strip()
    ]
    if count and len(forwarded) >= count:
        return forwarded[-count][:64]
    return str(request.META.get("REMOTE_ADDR", ""))
