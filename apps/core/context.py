"""What is known about the current request, for audit events and log lines far below the view."""

from contextvars import ContextVar, Token
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class RequestContext:
    """`caller` is who asks when that is neither a person nor an API token."""

    request_id: str = ""
    address: str = ""
    caller: str = ""


_current: ContextVar[RequestContext] = ContextVar("request_context", default=RequestContext())  # noqa: B039 - frozen


def current_request() -> RequestContext:
    return _current.get()


def enter_request(context: RequestContext) -> Token[RequestContext]:
    return _current.set(context)


def name_caller(caller: str) -> None:
    """Set the caller of the request, until it ends."""
    _current.set(replace(_current.get(), caller=caller))


def leave_request(token: Token[RequestContext]) -> None:
    _current.reset(token)
