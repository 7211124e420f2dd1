"""A Kubernetes API with the few verbs that the portal needs, on plain dictionaries.

Every response is redacted by `calls`: the values of a Secret become digests that can only be
compared, and metadata that may quote them is dropped. Failures become errors of `errors`, without
values of the request.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from apps.dataplane.kubernetes.api import errors as refusals
from apps.dataplane.kubernetes.api.calls import JSON, Call, Caller
from apps.dataplane.kubernetes.api.errors import Request
from apps.dataplane.kubernetes.api.kinds import (
    NAMESPACE,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
    Manifest,
    kind_of,
    object_id,
    title,
)
from apps.dataplane.kubernetes.api.transport import Answer, Stream
from apps.dataplane.kubernetes.api.watches import Watch
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.names import FIELD_MANAGER

READ_SECONDS, LIST_SECONDS, WRITE_SECONDS, REACH_SECONDS = 15.0, 30.0, 20.0, 5.0
PAGE = 500
FORBIDDEN = 403
WATCH_SECONDS = (240, 300)
SILENCE_SECONDS = 15
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
ANYTHING = {"Accept": "*/*"}
_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True)
class Page:
    """Part of a LIST. `resource_version` is the one that a watch continues from."""

    items: list[Manifest]
    resource_version: str


class Api:
    """One cluster's API. Cheap to make: the connections belong to the process."""

    def __init__(self, connection: Connection) -> None:
        self._caller = Caller(connection)
        self.connection = connection

    def home(self, ref: str) -> str:
        """Return the namespace of a Deployment."""
        return self.connection.home(ref)

    def find(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str = "",
        metadata_only: bool = False,
        keeps_managers: bool = False,
    ) -> Manifest | None:
        """Read one object, or return None when it is not there."""
        call = Call(
            method="GET",
            path=kind.path(namespace=namespace, name=name),
            request=_request("read", kind, name),
            accept=_METADATA.format("") if metadata_only else JSON,
            seconds=READ_SECONDS,
            keeps_managers=keeps_managers,
        )
        try:
            return self._caller.json(call)
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
        may_be_forbidden: bool = False,
        size: int = PAGE,
    ) -> Iterator[Page]:
        """Yield a LIST in pages of `size`. Raises Gone when the continue token has expired,
        NotFound when the cluster does not know the kind, unless it may be unknown, and Refused
        where it must not be read, unless it can be missed and may be forbidden.
        """
        query = _given(limit=str(size), labelSelector=labels, fieldSelector=fields)
        while True:
            call = Call(
                method="GET",
                path=kind.path(namespace=namespace),
                request=Request("list", kind.plural, kind == SECRET),
                query=query,
                accept=_METADATA.format("List") if metadata_only else JSON,
                seconds=LIST_SECONDS,
            )
            try:
                answer = self._caller.json(call)
            except refusals.Refused as error:
                is_absent = may_be_unknown and isinstance(error, refusals.NotFound)
                can_be_missed = may_be_forbidden and kind.can_be_missed
                if is_absent or (can_be_missed and error.status == FORBIDDEN):
                    return
                raise
            items, metadata = answer.get("items") or [], answer.get("metadata") or {}
            for item in items:
                # A list states the kind of its items once.
                item["kind"], item["apiVersion"] = kind.name, kind.api_version
            yield Page(items, metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query = {**query, "continue": metadata["continue"]}

    def list(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        may_be_forbidden: bool = False,
    ) -> list[Manifest]:
        """Read all objects of a kind, as `pages` does; one that is not known there has none."""
        pages = self.pages(
            kind,
            namespace=namespace,
            labels=labels,
            fields=fields,
            metadata_only=metadata_only,
            may_be_unknown=True,
            may_be_forbidden=may_be_forbidden,
        )
        return [item for page in pages for item in page.items]

    def apply(
        self, manifest: Manifest, *, is_trial: bool = False, metadata_only: bool = False
    ) -> Manifest:
        """Apply an object server-side and return the result; a dry run changes nothing."""
        kind, metadata = kind_of(manifest), manifest["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        call = Call(
            method="PATCH",
            path=kind.path(namespace=metadata.get("namespace", ""), name=metadata["name"]),
            request=Request("apply", title(object_id(manifest)), kind == SECRET),
            query={**query, "dryRun": "All"} if is_trial else query,
            body=manifest,
            content_type=APPLY,
            accept=_METADATA.format("") if metadata_only else JSON,
            writes=not is_trial,
            seconds=WRITE_SECONDS,
            keeps_managers=not is_trial,
        )
        # Metadata-only responses have a kind of their own.
        return {**self._caller.json(call), "kind": kind.name, "apiVersion": kind.api_version}

    def merge(
        self, kind: Kind, name: str, changes: Mapping[str, Any], *, namespace: str = ""
    ) -> Manifest:
        """Change single fields of an existing object. Raises NotFound."""
        call = Call(
            method="PATCH",
            path=kind.path(namespace=namespace, name=name),
            request=_request("change", kind, name),
            query={"fieldManager": FIELD_MANAGER},
            body=changes,
            content_type=MERGE,
            writes=True,
            seconds=WRITE_SECONDS,
        )
        return self._caller.json(call)

    def ask(self, review: Manifest, *, kind: Kind) -> Manifest:
        """Send a review to the API server, which stores nothing."""
        call = Call(
            method="POST",
            path=kind.path(),
            request=Request("answer", kind.name),
            body=review,
            content_type=JSON,
            seconds=READ_SECONDS,
        )
        return self._caller.json(call)

    def new_token(self, *, namespace: str, account: str, seconds: int) -> str:
        """Return a new token of a service account, "" where the answer has none."""
        call = Call(
            method="POST",
            path=SERVICE_ACCOUNT.path(namespace=namespace, name=account, part="token"),
            request=Request("renew the token of", f"ServiceAccount/{account}", is_secret=True),
            body={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": seconds},
            },
            content_type=JSON,
            seconds=READ_SECONDS,
        )
        return str((self._caller.json(call).get("status") or {}).get("token") or "")

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        uid: str,
        namespace: str = "",
        grace_seconds: int | None = None,
    ) -> None:
        """Delete an object if it still is the one with `uid`; one that is not there is fine.

        Raises Conflict on another uid.
        """
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        call = Call(
            method="DELETE",
            path=kind.path(namespace=namespace, name=name),
            request=_request("delete", kind, name),
            body=options,
            content_type=JSON,
            writes=True,
            seconds=WRITE_SECONDS,
        )
        with suppress(refusals.NotFound):
            self._caller.json(call)

    def reach(self, *, labels: str) -> None:
        """Read the first of some namespaces, or a named one, once, with short timeouts. Raises the
        error.
        """
        named = next(iter(self.connection.namespaces), "")
        call = Call(
            method="GET",
            path=NAMESPACE.path(name=named),
            request=Request("list", NAMESPACE.plural),
            query={} if named else {"limit": "1", "labelSelector": labels},
            accept=_METADATA.format("" if named else "List"),
            once=True,
            seconds=REACH_SECONDS,
        )
        self._caller.json(call)

    def json(self, path: str, *, seconds: float = READ_SECONDS) -> Manifest:
        """Read a path that is no object, such as `/version`."""
        call = Call(method="GET", path=path, request=Request("read", path), seconds=seconds)
        return self._caller.json(call)

    def text(self, path: str, *, query: Mapping[str, str], seconds: float = READ_SECONDS) -> str:
        """Read a log. Raises NotFound, or Refused while there is none."""
        answer = self._caller.transport.request(
            "GET", path, query=query, headers=ANYTHING, seconds=seconds
        )
        if answer.status >= 400:
            raise self._caller.error(answer, Request("read", path.rpartition("/")[2]))
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
        """Send one request as it is, once, and return any response: for proxied services."""
        return self._caller.transport.request(
            method, path, headers=headers, body=body, seconds=seconds
        )

    @contextmanager
    def watch(
        self,
        kind: Kind,
        *,
        resource_version: str,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        seconds: int = 0,
        silence_seconds: float = 0,
    ) -> Iterator[Watch]:
        """Open a watch of a namespace, by default of all, that ends by itself after `seconds`, by
        default some minutes; without a byte for `silence_seconds` it counts as dead.
        """
        seconds = seconds or random.randint(*WATCH_SECONDS)  # noqa: S311 - spreads load
        query = _given(
            watch="1",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=str(seconds),
            labelSelector=labels,
            fieldSelector=fields,
        )
        with self._caller.transport.stream(
            kind.path(namespace=namespace),
            query=query,
            headers={"Accept": JSON},
            silence_seconds=silence_seconds or seconds + SILENCE_SECONDS,
        ) as stream:
            yield self._watch_of(kind, stream)

    def _watch_of(self, kind: Kind, stream: Stream) -> Watch:
        request = Request("watch", kind.plural)
        return Watch(
            stream, lambda status, body: self._caller.error(Answer(status, {}, body), request)
        )


def _request(verb: str, kind: Kind, name: str) -> Request:
    return Request(verb, f"{kind.name}/{name}", kind == SECRET)


def _given(**query: str) -> dict[str, str]:
    return {key: value for key, value in query.items() if value}
