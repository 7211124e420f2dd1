"""What is known of the request being served, for audit rows and log lines far below the view."""

from contextvars import ContextVar, Token
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestContext:
    request_id: str = ""
    address: str = ""


_current: ContextVar[RequestContext] = ContextVar("request_context", default=RequestContext())  # noqa: B039 - frozen


def current_request() -> RequestContext:
    return _current.get()


def enter_request(context: RequestContext) -> Token[RequestContext]:
    return _current.set(context)


def leave_request(token: Token[RequestContext]) -> None:
    _current.reset(token)
