"""Every refusal has one shape, whoever refuses: an operation, the gate, a middleware or Django.

Nothing here knows the library that operations are written with: every page passes the middleware,
and a process that is asked for no operation does not load it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.access.grants.services import RightsExceeded
from apps.access.queries import least_roles
from apps.access.roles.catalogue import PERMISSIONS
from apps.access.scoped import PermissionMissing
from apps.core.errors import Conflict, Invalid, PortalError, Refused
from apps.dags.airflow.api import AirflowSilent, NotInAirflow
from apps.deploys.deliveries.services import StorageFull
from apps.organizations.tokens.queries import TokenRefused

Found = TypeVar("Found")
PREFIXES = ("/v1/", "/spec/")
BAD_TOKENS_SECONDS = 60
NOT_HERE = "Nothing that you may see is there."
# Where the middleware finds an answer that is no JSON.
_MESSAGES = {
    400: "The request cannot be understood.",
    404: "There is no such address in this API.",
    405: "This address does not take that method.",
    408: "The request did not arrive completely. Send it again.",
    413: "The request is too large.",
    500: "Something went wrong here. The portal's log has the details under the request ID.",
    503: "The portal is busy. Send the request again in a few seconds.",
}


class NotHere(PortalError):
    """There is nothing of that id, or the caller may not know of it."""

    def __init__(self) -> None:
        super().__init__(NOT_HERE)


class NotOffered(PortalError):
    """The client asks for something that this portal does not have."""


class NotReachable(PortalError):
    """A data plane or an Airflow does not answer."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with a field, under the name that the client sent."""

    field: str
    message: str
    code: str = "invalid"


class FieldsInvalid(Invalid):
    """Several fields are wrong."""

    def __init__(self, problems: list[FieldError]) -> None:
        words = [f"{one.field}: {one.message}" if one.field else one.message for one in problems]
        super().__init__(" ".join(words), field=problems[0].field)
        self.problems = problems


class KeyInUse(Conflict):
    """A key for creating once stands for another call, or for one that is not finished."""


class TooManyCalls(PortalError):
    """`seconds` is how long to wait."""

    def __init__(self, most: int, *, seconds: int) -> None:
        super().__init__(
            f"This token made more than {most} calls in a minute. Wait {seconds} seconds."
        )
        self.seconds = seconds


class TooManyBadTokens(PortalError):
    seconds = BAD_TOKENS_SECONDS

    def __init__(self) -> None:
        super().__init__(
            f"Too many bad tokens from this address. Wait {BAD_TOKENS_SECONDS} seconds."
        )


_STATUS: dict[type[PortalError], HTTPStatus] = {
    NotHere: HTTPStatus.NOT_FOUND,
    NotInAirflow: HTTPStatus.NOT_FOUND,
    TokenRefused: HTTPStatus.UNAUTHORIZED,
    TooManyBadTokens: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyCalls: HTTPStatus.TOO_MANY_REQUESTS,
    Conflict: HTTPStatus.CONFLICT,
    RightsExceeded: HTTPStatus.FORBIDDEN,
    # What is there forbids it, not who asks.
    Refused: HTTPStatus.CONFLICT,
    NotReachable: HTTPStatus.SERVICE_UNAVAILABLE,
    AirflowSilent: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    PortalError: HTTPStatus.BAD_REQUEST,
}


def or_404(found: Found | None) -> Found:
    """Return what was found. Raises NotHere for None."""
    if found is None:
        raise NotHere
    return found


def problem(
    request: HttpRequest,
    status: int,
    message: str,
    fields: Iterable[FieldError] = (),
) -> JsonResponse:
    """Return a refusal in the shape of `Problem`, with the request's id as the log has it."""
    body: dict[str, object] = {
        "message": message,
        "requestId": getattr(request, "request_id", ""),
        "statusCode": status,
    }
    told = [{"field": one.field, "message": one.message, "code": one.code} for one in fields]
    return JsonResponse(body | ({"fieldErrors": told} if told else {}), status=status)


class JsonErrors:
    """Turn pages of errors into JSON below the addresses of the API, wherever they come from."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_ours = request.path_info.startswith(PREFIXES)
        if not is_ours or response.status_code < 400 or _is_json(response):
            return response
        message = _MESSAGES.get(response.status_code, HTTPStatus(response.status_code).phrase)
        answer = problem(request, response.status_code, message)
        for name in ("Allow", "Retry-After"):
            if name in response:
                answer[name] = response[name]
        return answer


def _is_json(response: HttpResponse) -> bool:
    return "json" in response.get("Content-Type", "")


def refusal(request: HttpRequest, error: PortalError) -> HttpResponse:
    """Answer an anticipated failure."""
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    field = getattr(error, "field", "") if isinstance(error, Invalid) else ""
    fields = [FieldError(field, error.message)] if field else []
    many = getattr(error, "problems", ())
    if many:
        fields = [FieldError(one.field, one.message) for one in many]
    response = problem(request, status, _in_words(error), fields)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="astro-portal"'
    if isinstance(error, TooManyBadTokens | TooManyCalls):
        response["Retry-After"] = str(error.seconds)
    return response


def _in_words(error: PortalError) -> str:
    """Say all that is wrong, because many clients print the message and nothing else."""
    many = () if isinstance(error, FieldsInvalid) else getattr(error, "problems", ())
    return " ".join(one.message for one in many) or error.message


def permission_missing(request: HttpRequest, error: PermissionMissing) -> HttpResponse:
    """Answer a call that its caller may not make, with the roles that may."""
    [roles] = least_roles(permissions=[error.permission], on=error.on).values()
    action = PERMISSIONS[error.permission]
    message = f"This needs the permission “{action}”, which you do not have here."
    if roles:
        message += f" Roles that have it: {', '.join(roles)}."
    return problem(request, HTTPStatus.FORBIDDEN, message)
