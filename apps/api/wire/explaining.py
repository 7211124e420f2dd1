"""How failures of operations become refusals."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from apps.access.scoped import PermissionMissing
from apps.api.wire.errors import FieldError, permission_missing, problem, refusal
from apps.core.errors import PortalError

NOT_SO_WRITTEN = "Write it as the document of the API says."


def explain_in(api: NinjaAPI) -> None:
    """Let an API answer every anticipated failure in the shape of `Problem`."""
    api.exception_handler(PortalError)(refusal)
    api.exception_handler(PermissionMissing)(permission_missing)
    api.exception_handler(ValidationError)(_not_valid)
    api.exception_handler(HttpError)(_http_error)


def _not_valid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields = [FieldError(_field(one), _said(one)) for one in error.errors]
    message = "; ".join(f"{one.field}: {one.message}" for one in fields[:10])
    return problem(request, HTTPStatus.BAD_REQUEST, f"The request is not valid. {message}", fields)


def _said(error: dict[str, Any]) -> str:
    """Return what is wrong. A pattern says nothing to people."""
    is_pattern = error["type"] == "string_pattern_mismatch"
    return NOT_SO_WRITTEN if is_pattern else str(error["msg"])


def _field(error: dict[str, Any]) -> str:
    # The first two name the part of the request and the argument of our function.
    places = [str(part) for part in error["loc"]]
    return ".".join(places[2:] or places[1:])[:200]


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    message = "The body is no JSON." if error.status_code == HTTPStatus.BAD_REQUEST else str(error)
    return problem(request, error.status_code, message)
