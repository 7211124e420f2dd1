"""A Kubernetes API in the few verbs that the portal needs, on plain dictionaries.

What is read is made safe here, once for everybody: the values of a Secret become digests that can
be compared and nothing else, and bookkeeping that may quote them is dropped. What fails becomes an
error of `refusals`, free of what was sent. A busy server is obeyed as long as the deadline allows.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson

from apps.dataplane import fence
from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes import refusals
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.kinds import (
    NAMESPACE,
    SECRET,
    Kind,
    Manifest,
    kind_of,
    object_id,
    title,
)
from apps.dataplane.kubernetes.names import FIELD_MANAGER
from apps.dataplane.kubernetes.refusals import Request
from apps.dataplane.kubernetes.safety import made_safe
from apps.dataplane.kubernetes.transport import (
    Answer,
    ConnectionEnded,
    Stream,
    Transport,
    transport_for,
)
from apps.dataplane.kubernetes.watches import Watch

READ_SECONDS, LIST_SECONDS, WRITE_SECONDS = 15.0, 30.0, 20.0
REACH_SECONDS = 5.0
PAGE = 500
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.1
WATCH_SECONDS = (240, 300)
SILENCE_SECONDS = 15
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Page:
    """Part of a LIST. `resource_version` is the one that a watch goes on from."""

    items: list[Manifest]
    resource_version: str


class Api:
    """One cluster's API. Cheap to make: the connections belong to the process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._credentials = tuple(v for v in (connection.token, connection.client_key) if v)

    def get(
        self, kind: Kind, name: str, *, namespace: str = "", metadata_only: bool = False
    ) -> Manifest:
        """Read one object. Raises NotFound."""
        return self._call(
            "GET",
            kind.path(namespace=namespace, name=name),
            request=Request("read", f"{kind.name}/{name}", kind == SECRET),
            accept=_METADATA.format("") if metadata_only else JSON,
            seconds=READ_SECONDS,
        )

    def find(
        self, kind: Kind, name: str, *, namespace: str = "", metadata_only: bool = False
    ) -> Manifest | None:
        """Read one object, or return None when it is not there."""
        try:
            return self.get(kind, name, namespace=namespace, metadata_only=metadata_only)
        except refusals.NotFound:
            return None

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        may_be_unknown: bool = False,
    ) -> Iterator[Page]:
        """Yield a LIST page by page. Raises Gone when it took too long to go on, NotFound when the
        cluster does not know the kind, unless it may.
        """
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields}
        query = {key: value for key, value in query.items() if value}
        while True:
            try:
                answer = self._call(
                    "GET",
                    kind.path(namespace=namespace),
                    request=Request("list", kind.plural, kind == SECRET),
                    query=query,
                    accept=_METADATA.format("List") if metadata_only else JSON,
                    seconds=LIST_SECONDS,
                )
            except refusals.NotFound:
                if may_be_unknown:
                    return
                raise
            metadata = answer.get("metadata", {})
            for item in answer.get("items") or ():
                # A list says once what its items are.
                item["kind"], item["apiVersion"] = kind.name, kind.api_version
            yield Page(answer.get("items") or [], metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    def list(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> list[Manifest]:
        """Read all objects of a kind; a kind that the cluster does not know has none."""
        pages = self.pages(
            kind,
            namespace=namespace,
            labels=labels,
            fields=fields,
            metadata_only=metadata_only,
            may_be_unknown=True,
        )
        return [item for page in pages for item in page.items]

    def apply(self, manifest: Manifest, *, is_trial: bool = False) -> Manifest:
        """Apply an object server-side and return what it became; a trial changes nothing."""
        kind, metadata = kind_of(manifest), manifest["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        if is_trial:
            query["dryRun"] = "All"
        else:
            fence.check()
        return self._call(
            "PATCH",
            kind.path(namespace=metadata.get("namespace", ""), name=metadata["name"]),
            request=Request("apply", title(object_id(manifest)), kind == SECRET),
            query=query,
            body=manifest,
            content_type=APPLY,
            seconds=WRITE_SECONDS,
        )

    def merge(
        self, kind: Kind, name: str, changes: Mapping[str, Any], *, namespace: str = ""
    ) -> Manifest:
        """Change single fields of an object that is there. Raises NotFound."""
        fence.check()
        return self._call(
            "PATCH",
            kind.path(namespace=namespace, name=name),
            request=Request("change", f"{kind.name}/{name}", kind == SECRET),
            query={"fieldManager": FIELD_MANAGER},
            body=changes,
            content_type=MERGE,
            seconds=WRITE_SECONDS,
        )

    def ask(self, review: Manifest, *, kind: Kind) -> Manifest:
        """Let the API server review something; nothing is kept there."""
        return self._call(
            "POST",
            kind.path(),
            request=Request("answer", kind.name),
            body=review,
            content_type=JSON,
            seconds=WRITE_SECONDS,
        )

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        grace_seconds: int | None = None,
    ) -> None:
        """Delete an object, only if it still is the one with `uid`; one that is not there is fine.

        Raises Conflict on another uid.
        """
        fence.check()
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        with suppress(refusals.NotFound):
            self._call(
                "DELETE",
                kind.path(namespace=namespace, name=name),
                request=Request("delete", f"{kind.name}/{name}", kind == SECRET),
                body=options,
                content_type=JSON,
                seconds=WRITE_SECONDS,
            )

    def reach(self, *, labels: str) -> None:
        """Ask for the first of some namespaces, once and shortly. Raises what was wrong."""
        answer = self._send(
            "GET",
            NAMESPACE.path(),
            {"limit": "1", "labelSelector": labels},
            {"Accept": _METADATA.format("List")},
            None,
            REACH_SECONDS,
        )
        if answer.status >= 400:
            raise self._error(answer, Request("list", "namespaces"), ())

    def json(self, path: str, *, seconds: float = READ_SECONDS) -> Manifest:
        """Read something that is no object, as `/version`."""
        return self._call("GET", path, request=Request("read", path), seconds=seconds)

    def text(self, path: str, *, query: Mapping[str, str], seconds: float = READ_SECONDS) -> str:
        """Read a log. Raises NotFound, or Refused while there is none."""
        answer = self._send("GET", path, query, {"Accept": "*/*"}, None, seconds)
        if answer.status >= 400:
            raise self._error(answer, Request("read", path.rpartition("/")[2]), ())
        return answer.body.decode(errors="replace")

    def raw(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        seconds: float,
    ) -> Answer:
        """Send one request as it is, once, and return any answer: for what is behind a proxy."""
        return self._transport().request(method, path, headers=headers, body=body, seconds=seconds)

    @contextmanager
    def stream(
        self, path: str, *, query: Mapping[str, str], silence_seconds: float
    ) -> Iterator[Stream]:
        """Follow a log."""
        with self._transport().stream(
            path, query=query, headers={"Accept": "*/*"}, silence_seconds=silence_seconds
        ) as stream:
            yield stream

    @contextmanager
    def watch(
        self,
        kind: Kind,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
        seconds: int = 0,
        silence_seconds: float = 0,
        metadata_only: bool = False,
    ) -> Iterator[Watch]:
        """Open a watch over all namespaces that ends by itself after `seconds`, some minutes unless
        said; without a byte for `silence_seconds` it is taken for dead.
        """
        seconds = seconds or random.randint(*WATCH_SECONDS)  # noqa: S311
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        with self._transport().stream(
            kind.path(),
            query={key: value for key, value in query.items() if value},
            headers={"Accept": _METADATA.format("") if metadata_only else JSON},
            silence_seconds=silence_seconds or seconds + SILENCE_SECONDS,
        ) as stream:
            request = Request("watch", kind.plural, kind == SECRET)
            yield Watch(
                stream, lambda status, body: self._error(Answer(status, {}, body), request, ())
            )

    def _call(
        self,
        method: str,
        path: str,
        *,
        request: Request,
        seconds: float,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "",
        accept: str = JSON,
    ) -> Manifest:
        """Send a request until it is answered: POST once, all others as often as is worth it."""
        headers = {"Accept": accept}
        if content_type:
            headers["Content-Type"] = content_type
        data = None if body is None else orjson.dumps(body)
        deadline = time.monotonic() + seconds
        attempt = 0
        while True:
            attempt += 1
            left = deadline - time.monotonic()
            try:
                answer = self._send(method, path, query, headers, data, left)
            except ConnectionEnded:
                if method == "POST" or attempt >= ATTEMPTS or left < 1:
                    raise
                time.sleep(_pause(attempt))
                continue
            if answer.status < 400:
                return made_safe(_parsed(answer), is_secret=request.is_secret)
            error = self._error(answer, request, refusals.secret_values(body or {}))
            pause = _pause_after(answer, error, attempt)
            is_last = method == "POST" or attempt >= ATTEMPTS
            if pause is None or is_last or time.monotonic() + pause > deadline:
                raise error
            time.sleep(pause)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds: float,
    ) -> Answer:
        return self._transport().request(
            method, path, query=query, headers=headers, body=body, seconds=seconds
        )

    def _error(self, answer: Answer, request: Request, secrets: tuple[str, ...]) -> Exception:
        return refusals.error_of(
            status=answer.status,
            body=_parsed(answer),
            request=request,
            secrets=(*secrets, *self._credentials),
            retry_after=_retry_after(answer),
        )

    def _transport(self) -> Transport:
        return transport_for(self._connection)


def _parsed(answer: Answer) -> Manifest:
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        if answer.status < 400:
            raise Temporary("The cluster's API answered something that is no JSON.") from None
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def _pause_after(answer: Answer, error: Exception, attempt: int) -> float | None:
    """Return the seconds until it is worth asking again, None if it is not."""
    if answer.status not in _BUSY or not isinstance(error, Temporary):
        return None
    asked = _retry_after(answer)
    if asked is None:
        return _pause(attempt)
    return asked * (1 + random.random() / 4)  # noqa: S311


def _pause(attempt: int) -> float:
    return FIRST_PAUSE_SECONDS * 3.0 ** (attempt - 1) * (0.5 + random.random())  # noqa: S311
