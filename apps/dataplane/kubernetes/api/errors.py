"""Error responses of a Kubernetes API, as errors of a data plane.

An API server quotes the request: its messages are shown only after every value that may be secret
is removed, and never for a Secret.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.dataplane.errors import Permanent, Temporary, Unreachable

LONGEST_SENTENCE = 600
SHORTEST_SECRET = 4
SHORTEST_VARIABLE = 8
HIDDEN = "•••"
_BEARER = re.compile(r"(?i)(bearer\s+|_token=)[^\s\"';,]+")
_QUOTED = re.compile(r'Invalid value: (?:"(?:[^"\\]|\\.)*"|\S+)')


class Refused(Permanent):
    """The API server rejects the request, and will do so until a person changes something.

    `reason` is the server's own word, such as `Invalid`; `fields` are the rejected paths.
    """

    def __init__(
        self, message: str, *, status: int, reason: str = "", fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.fields = fields

    @property
    def is_immutable(self) -> bool:
        """Whether the request changes a field that cannot be changed."""
        return self.status == 422 and "immutable" in self.message


class NotFound(Refused):
    """There is no such object, namespace or kind."""


class Conflict(Temporary):
    """The object is not what the request expected: another uid, or the name exists already."""


class Gone(Temporary):
    """The API server no longer has the changes since that version: list again."""


class Throttled(Temporary):
    """The API server is overloaded and sent a `Retry-After`."""


class BeingDeleted(Temporary):
    """The namespace is being deleted, so nothing can be created in it."""


class CredentialRefused(Unreachable):
    """The API server rejects the credential: an early retry is of no use."""


@dataclass(frozen=True)
class Request:
    """The request, in words for people: `create`, `Deployment/scheduler`."""

    verb: str
    object: str
    is_secret: bool = False


def from_response(
    *,
    status: int,
    body: Mapping[str, Any],
    request: Request,
    secrets: tuple[str, ...] = (),
    retry_after: float | None = None,
) -> Permanent | Temporary:
    """Turn a response of 400 or more into its error. `secrets` are values to redact in it."""
    reason = str(body.get("reason", ""))
    details = body.get("details") if isinstance(body.get("details"), dict) else {}
    words = _words(body, details or {}, request=request, secrets=secrets)
    if status == 401:
        return CredentialRefused(
            "The cluster rejects the portal's credential (401). "
            "Replace it on the page of the cluster."
        )
    if status == 410 or reason == "Expired":
        return Gone("The cluster no longer knows what changed since the last observation.")
    if status == 429:
        return Throttled("The cluster's API is overloaded (429).", retry_after_seconds=retry_after)
    if _has_cause(details or {}, "NamespaceTerminating"):
        return BeingDeleted("The namespace is still being deleted; waiting until it is gone.")
    if status == 409:
        return Conflict(f"{request.object} was changed by someone else at the same time.")
    if status >= 500 and "typed patch" not in str(body.get("message", "")):
        return Temporary(
            f"The cluster's API failed at {request.object} ({status}).",
            retry_after_seconds=retry_after,
        )
    if status == 404:
        return NotFound(_not_found(words, request, reason), status=status, reason=reason)
    return Refused(
        _refusal(words, status, reason, request),
        status=status,
        reason=reason,
        fields=_fields(details or {}),
    )


def secret_values(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every value of a manifest that a message must not quote, the longest first."""
    found: set[str] = set()
    if manifest.get("kind") == "Secret":
        for part in ("data", "stringData"):
            for value in (manifest.get(part) or {}).values():
                found.update(_spellings(str(value)))
    found.update(_environment(manifest))
    return tuple(sorted((v for v in found if len(v) >= SHORTEST_SECRET), key=len, reverse=True))


def scrub(text: str, secrets: tuple[str, ...]) -> str:
    """Redact secret values, credentials and control characters in a message, and shorten it."""
    for value in secrets:
        text = text.replace(value, HIDDEN)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= LONGEST_SENTENCE else f"{text[: LONGEST_SENTENCE - 1]}…"


def _words(
    body: Mapping[str, Any],
    details: Mapping[str, Any],
    *,
    request: Request,
    secrets: tuple[str, ...],
) -> str:
    if request.is_secret:
        return ", ".join(_fields(details))
    return scrub(_QUOTED.sub("Invalid value", str(body.get("message", ""))), secrets).rstrip(". ")


def _refusal(words: str, status: int, reason: str, request: Request) -> str:
    what = f"The cluster does not {request.verb} {request.object}"
    if status == 403 and "exceeded quota" in words:
        return f"{what}: {words}. Raise the quota of the namespace or request less."
    if "admission webhook" in words or "ValidatingAdmissionPolicy" in words:
        return f"{what}, a rule of the cluster forbids it: {words}."
    if "violates PodSecurity" in words:
        return f"{what}, its pod security standard forbids it: {words}."
    if status == 403:
        return (
            f"{what}, because the portal's credential is not allowed to: {words}. "
            "The page of the cluster has the role to apply."
        )
    return f"{what} ({status} {reason}): {words}." if words else f"{what} ({status} {reason})."


def _not_found(words: str, request: Request, reason: str) -> str:
    # For an API group that does not exist, the API server does not respond in JSON.
    if not reason or "could not find the requested resource" in words:
        kind = request.object.partition("/")[0]
        return f"The cluster does not know the kind {kind}, needed for {request.object}."
    return f"{request.object} is not there: {words or reason}."


def _fields(details: Mapping[str, Any]) -> tuple[str, ...]:
    causes = details.get("causes") or []
    return tuple(str(cause["field"])[:200] for cause in causes if cause.get("field"))


def _has_cause(details: Mapping[str, Any], reason: str) -> bool:
    return any(cause.get("reason") == reason for cause in details.get("causes") or [])


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield value.replace("\\", "\\\\").replace('"', '\\"')
    yield base64.b64encode(value.encode()).decode()
    try:
        yield base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return


def _environment(node: object) -> Iterator[str]:
    """Yield the values of environment variables, wherever they are."""
    if isinstance(node, Mapping):
        for item in node.get("env") or ():
            if isinstance(item, Mapping) and isinstance(item.get("value"), str):
                value = item["value"]
                if len(value) >= SHORTEST_VARIABLE:
                    yield value
        for value in node.values():
            yield from _environment(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _environment(value)
