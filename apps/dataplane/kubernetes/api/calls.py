"""One call of a Kubernetes API, with retries; its result is redacted.

A busy server's `Retry-After` is followed as long as the deadline of the call allows; then the error
carries it. Nothing is written any more once the pass has lost its lease.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from apps.dataplane import fence
from apps.dataplane.clouds import tokens
from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.api import errors as refusals
from apps.dataplane.kubernetes.api.errors import Request
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.api.redaction import redact
from apps.dataplane.kubernetes.api.transport import (
    Answer,
    ConnectionEnded,
    Transport,
    transport_for,
)
from apps.dataplane.kubernetes.config import Connection

JSON = "application/json"
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.1
SHORTEST_SECONDS = 1.0
_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Call:
    """What to send. `writes`: it changes the cluster. `once`: it is not repeated.
    `keeps_managers`: the response tells who set the fields of the object.
    """

    method: str
    path: str
    request: Request
    seconds: float
    query: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    content_type: str = ""
    accept: str = JSON
    writes: bool = False
    once: bool = False
    keeps_managers: bool = False


class Caller:
    """Sends calls over the pooled connections of this process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._credentials = tuple(v for v in (connection.token, connection.client_key) if v)

    @property
    def transport(self) -> Transport:
        return transport_for(self._connection)

    def json(self, call: Call) -> Manifest:
        """Send a call until it is answered, and return the redacted response."""
        headers = {"Accept": call.accept}
        if call.content_type:
            headers["Content-Type"] = call.content_type
        body = None if call.body is None else orjson.dumps(call.body)
        deadline = time.monotonic() + call.seconds
        for attempt in range(1, ATTEMPTS + 1):
            is_last = call.once or attempt == ATTEMPTS
            try:
                answer = self._send(call, headers, body, deadline - time.monotonic())
            except ConnectionEnded:
                if is_last or deadline - time.monotonic() < SHORTEST_SECONDS:
                    raise
                time.sleep(_pause(attempt))
                continue
            if answer.status < 400:
                break
            error = self.error(answer, call.request, call.body or {})
            pause = _pause_after(answer, error, attempt)
            if is_last or pause is None or time.monotonic() + pause > deadline:
                raise error
            time.sleep(pause)
        return redact(
            _parsed(answer),
            is_secret=call.request.is_secret,
            keeps_managers=call.keeps_managers,
        )

    def error(
        self, answer: Answer, request: Request, sent: Mapping[str, Any] | None = None
    ) -> Exception:
        """Turn a response of 400 or more into an error that quotes no secret of the request."""
        identity = self._connection.identity
        if answer.status == 401 and identity is not None:
            tokens.distrust(identity)
            return refusals.CredentialRefused(tokens.refusal_of(identity))
        current = tokens.kept_tokens.peek(identity) if identity is not None else None
        return refusals.from_response(
            status=answer.status,
            body=_parsed(answer),
            request=request,
            secrets=(
                *refusals.secret_values(sent or {}),
                *self._credentials,
                *((current,) if current else ()),
            ),
            retry_after=_retry_after(answer),
        )

    def _send(
        self, call: Call, headers: Mapping[str, str], body: bytes | None, seconds: float
    ) -> Answer:
        if call.writes:
            fence.check()
            seconds = min(seconds, fence.seconds_left())
        return self.transport.request(
            call.method, call.path, query=call.query, headers=headers, body=body, seconds=seconds
        )


def _parsed(answer: Answer) -> Manifest:
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        if answer.status < 400:
            raise Temporary("The cluster's API returned something that is not JSON.") from None
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def _pause_after(answer: Answer, error: Exception, attempt: int) -> float | None:
    """Return the seconds until a retry, None if it is not worth one."""
    if answer.status not in _BUSY or not isinstance(error, Temporary):
        return None
    asked = _retry_after(answer)
    if asked is None:
        return _pause(attempt)
    return asked * (1 + random.random() / 4)  # noqa: S311 - spreads load


def _pause(attempt: int) -> float:
    # Randomness spreads load here; it is no security measure.
    return FIRST_PAUSE_SECONDS * 3.0 ** (attempt - 1) * (0.5 + random.random())  # noqa: S311
