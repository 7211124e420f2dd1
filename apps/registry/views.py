"""Where clients of the registry get tokens, and where the operator reads how to set it up."""

import base64
import binascii
from datetime import UTC
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from apps.core.errors import PortalError
from apps.core.web.gates import open_to_all, operator_only
from apps.core.web.middleware import client_address
from apps.organizations.tokens.queries import TokenRefused
from apps.registry.queries import registry_setup
from apps.registry.services import NoRegistry, TooManySignIns, issue_token
from apps.registry.signing import bundle

STATUS: dict[type[PortalError], HTTPStatus] = {
    TokenRefused: HTTPStatus.UNAUTHORIZED,
    TooManySignIns: HTTPStatus.TOO_MANY_REQUESTS,
    NoRegistry: HTTPStatus.NOT_FOUND,
}
CODES = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHORIZED",
    HTTPStatus.TOO_MANY_REQUESTS: "TOOMANYREQUESTS",
    HTTPStatus.NOT_FOUND: "UNSUPPORTED",
    HTTPStatus.BAD_REQUEST: "UNSUPPORTED",
}
LONGEST_SECRET = 4_000


@open_to_all
@csrf_exempt
@never_cache
@require_http_methods(["GET", "POST"])
def token(request: HttpRequest) -> HttpResponse:
    """Answer by GET with Basic authentication, or by POST as OAuth 2 has it. Cookies are ignored.

    Source: Token Authentication Specification and OAuth2 Token Authentication, Distribution.
    """
    asked = request.POST if request.method == "POST" else request.GET
    try:
        issued = issue_token(
            secret=_posted_secret(asked) if request.method == "POST" else _basic_secret(request),
            service=asked.get("service", ""),
            scopes=asked.getlist("scope"),
            address=client_address(request),
            now=timezone.now(),
        )
    except PortalError as error:
        return _refusal(error)
    body = {
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.seconds,
        "issued_at": issued.issued_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return JsonResponse(body)


@operator_only
@require_safe
def setup(request: HttpRequest) -> HttpResponse:
    return render(request, "registry/setup.html", {"setup": registry_setup()})


@operator_only
@require_safe
def certificates(request: HttpRequest) -> HttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="portal-bundle.pem"'}
    return HttpResponse(bundle(), content_type="application/x-pem-file", headers=headers)


def _basic_secret(request: HttpRequest) -> str:
    """Return the password. The user name is the client's to choose."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic" or len(encoded) > 2 * LONGEST_SECRET:
        return ""
    try:
        _, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    # The Astro CLI sends its whole header as the password.
    return secret.removeprefix("Bearer ")


def _posted_secret(asked: QueryDict) -> str:
    """Return the secret of a form. A login without a password keeps it as a refresh token."""
    kind = asked.get("grant_type", "")
    field = {"password": "password", "refresh_token": "refresh_token"}.get(kind, "")
    return asked.get(field, "")[:LONGEST_SECRET]


def _refusal(error: PortalError) -> JsonResponse:
    status = next(
        (status for kind, status in STATUS.items() if isinstance(error, kind)),
        HTTPStatus.BAD_REQUEST,
    )
    # Clients of either specification read their own part.
    body = {
        "errors": [{"code": CODES[status], "message": error.message}],
        "error": "invalid_grant" if status == HTTPStatus.UNAUTHORIZED else "invalid_request",
        "error_description": error.message,
    }
    answer = JsonResponse(body, status=status)
    if status == HTTPStatus.UNAUTHORIZED:
        answer["WWW-Authenticate"] = (
            f'Basic realm="{settings.PORTAL_URL}{reverse("registry:token")}"'
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        answer["Retry-After"] = "60"
    return answer
