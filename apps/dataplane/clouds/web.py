"""Questions to Microsoft and Google by their documented HTTP interfaces, at fixed hosts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from apps.core.outbound import guarded_http
from apps.core.outbound.guarded_http import ExchangeFailed, Guard, Reach
from apps.dataplane.errors import Permanent, Temporary, Unreachable

GUARD = Guard(
    reach=Reach(networks=(), setting="", allows_http=False), seconds=6, most_bytes=4 * 1024 * 1024
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request. `form` is sent as a form, and makes it a POST; so does `posts`."""

    url: str
    token: str = ""
    form: Mapping[str, str] | None = None
    posts: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A status and the JSON object that came with it, empty if it was none."""

    status: int
    body: Mapping[str, Any]


Ask = Callable[[Question], Reply]


def ask(question: Question) -> Reply:
    """Send a question. Raises Unreachable when no answer comes within six seconds."""
    headers = {"Authorization": f"Bearer {question.token}"} if question.token else {}
    try:
        if question.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(question.form).encode()
            answer = guarded_http.post(question.url, body=body, headers=headers, guard=GUARD)
        elif question.posts:
            answer = guarded_http.post(question.url, body=b"{}", headers=headers, guard=GUARD)
        else:
            answer = guarded_http.get(question.url, headers=headers, guard=GUARD)
    except ExchangeFailed as error:
        host = question.url.split("/")[2]
        raise Unreachable(f"{host} cannot be reached. {error.message}") from None
    return Reply(status=answer.status, body=_object(answer.body))


def failure(reply: Reply, *, who: str, refused: str) -> Permanent | Temporary:
    """Return the error of an answer of 400 or more. `refused` says what a refusal means."""
    if reply.status == 429:
        return Temporary(f"{who} throttles the portal (429). It is retried.")
    if reply.status >= 500:
        return Unreachable(f"{who} failed ({reply.status}).")
    return Permanent(f"{refused} ({reply.status})")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
