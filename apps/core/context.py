"""What is known about the current request, for audit events and log lines far below the view."""

from contextvars import ContextVar, Token
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class RequestContext:
    """`caller` is who asks when that is neither a person nor an API token. `means` is what a person
    or a token calls with, where that is no browser: "by personal token laptop, astro-cli/1.45.0".
    """

    request_id: str = ""
    address: str = ""
    caller: str = ""
    means: str = ""


_current: ContextVar[RequestContext] = ContextVar("request_context", default=RequestContext())  # noqa: B039 - frozen


def current_request() -> RequestContext:
    return _current.get()


def enter_request(context: RequestContext) -> Token[RequestContext]:
    return _current.set(context)


def name_caller(caller: str) -> None:
    """Set the caller of the request, until it ends."""
    _current.set(replace(_current.get(), caller=caller))


def name_means(means: str) -> None:
    """Set what the caller calls with, until the request ends."""
    _current.set(replace(_current.get(), means=means))


def leave_request(token: Token[RequestContext]) -> None:
    _current.reset(token)
