"""Bringing an image with packages from the registry of one cluster into that of another, unchanged.

manifest ─► each blob: is it there? ─► can it be mounted? ─► streamed ─► manifest ─► read again

The portal does it itself: both credentials are its own, and a Job would lay that of one cluster
into a namespace of the other. What the source sends is believed by digest alone.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

import requests
import urllib3

from apps.core.errors import PortalError
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes.config import ClusterConfig, Registry
from apps.dataplane.kubernetes.registration.images.registry_calls import (
    Body,
    RegistryFailed,
    ask,
    registry_session,
)

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MOST_MANIFEST_BYTES = 4 * 1024**2
MOST_LAYERS, MOST_IMAGE_BYTES = 200, 20 * 1024**3
MOST_REDIRECTS = 3
ATTEMPTS = 2
COPY_SECONDS = 600.0
# Between two pieces of a blob; storing the last one may take a registry as long.
STREAM_SECONDS = (3.0, 60.0)
# As in runtime/projects/registry.py: distribution passes the number of the system's error on.
FULL = ("no space left", '"err":28', "quota")


def copy_image(source: ClusterConfig, target: ClusterConfig, *, image: str) -> str:
    """Copy `image`, which is `repository@digest` in the registry of `source`, into that of
    `target`, and return its name there, with the same digest; see `SupportsImageCopies`.
    """
    repository, _, digest = image.partition("@")
    if source.registry is None or repository != source.registry.repository:
        raise Permanent(_gone("is in a registry that its cluster does not have any more"))
    if target.registry is None:
        raise Permanent("This cluster has no registry, which the image could be stored in.")
    ends_at = time.monotonic() + COPY_SECONDS
    with ExitStack() as stack:
        origin, place = (
            _Side(
                stack.enter_context(registry_session(registry, config.connection.networks or ())),
                registry,
                name=name,
                actions=actions,
                ends_at=ends_at,
            )
            for config, registry, name, actions in (
                (source, source.registry, "that the image comes from", "pull"),
                (target, target.registry, "of this cluster", "pull,push"),
            )
        )
        kind, body = origin.manifest(digest)
        if place.has(f"/manifests/{digest}"):
            return f"{target.registry.repository}@{digest}"
        for blob in _blobs(body):
            _bring(blob, origin, place)
        place.store_manifest(digest, body, kind)
    return f"{target.registry.repository}@{digest}"


@dataclass(frozen=True)
class _Blob:
    digest: str
    size: int


class _Side:
    """The repository of one registry. `name` tells it from the other in messages."""

    def __init__(
        self,
        session: requests.Session,
        registry: Registry,
        *,
        name: str,
        actions: str,
        ends_at: float,
    ) -> None:
        self.session, self.registry, self.actions = session, registry, actions
        self.name, self.ends_at = f"The registry {name}", ends_at
        self.path = registry.repository.partition("/")[2]
        self.root = f"https://{registry.host}/v2/{self.path}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        also: str = "",
    ) -> requests.Response:
        """Send a request to a path below the repository, or to an address. Raises RegistryFailed
        for what the registry refuses, and a DataPlaneError where there is no answer.
        """
        if time.monotonic() > self.ends_at:
            raise Temporary(f"Copying the image took longer than {COPY_SECONDS / 60:.0f} minutes.")
        url = path if path.startswith("https://") else f"{self.root}{path}"
        try:
            return ask(
                self.session,
                self.registry,
                method,
                url,
                body,
                actions=self.actions,
                headers=headers,
                also=also,
                seconds=STREAM_SECONDS,
            )
        except DataPlaneError:
            # Of the other side, which a body is read from.
            raise
        except PortalError as refused:
            raise Permanent(f"{self.name} cannot be asked. {refused.message}") from refused
        except requests.exceptions.SSLError:
            raise Permanent(f"{self.name} has a certificate that is not trusted.") from None
        except requests.RequestException:
            raise Temporary(f"{self.name} does not answer the portal.") from None

    def judged(self, failed: RegistryFailed) -> DataPlaneError:
        if any(word in str(failed).lower() for word in FULL) or failed.status in (413, 507):
            return Permanent(f"{self.name} has no room for the image. Free some space there.")
        if failed.status in (401, 403):
            return Permanent(f"{self.name} refuses the credential of its cluster.")
        return Temporary(f"{self.name} failed. {failed}")

    def has(self, path: str) -> bool:
        try:
            self.ask("HEAD", path, headers={"Accept": ", ".join(MANIFESTS)}).close()
        except RegistryFailed as failed:
            if failed.status == 404:
                return False
            raise self.judged(failed) from None
        return True

    def manifest(self, digest: str) -> tuple[str, bytes]:
        """Return media type and bytes of a manifest, which have this digest."""
        accepted = {"Accept": ", ".join(MANIFESTS)}
        try:
            with self.ask("GET", f"/manifests/{digest}", headers=accepted) as response:
                body: bytes = response.raw.read(MOST_MANIFEST_BYTES)
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        except RegistryFailed as failed:
            if failed.status == 404:
                raise Permanent(_gone("is not in its registry any more")) from None
            raise self.judged(failed) from None
        except (urllib3.exceptions.HTTPError, OSError):
            raise Temporary(f"{self.name} cut the connection.") from None
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest or kind not in MANIFESTS:
            raise Permanent(f"{self.name} returns something else than the image.")
        return kind, body

    def mount(self, blob: _Blob, origin: "_Side") -> bool:
        """Take a blob over from another repository of this registry, where that is allowed."""
        if origin.registry.host != self.registry.host:
            return False
        query = urlencode({"mount": blob.digest, "from": origin.path})
        also = f"repository:{origin.path}:pull"
        try:
            response = self.ask("POST", f"/blobs/uploads/?{query}", also=also)
        except RegistryFailed:
            return False
        response.close()
        return response.status_code == 201

    def open_blob(self, digest: str) -> requests.Response:
        """Begin to read a blob, which may lie with a store that the registry redirects to."""
        url = f"{self.root}/blobs/{digest}"
        for _ in range(MOST_REDIRECTS + 1):
            response = self.ask("GET", url)
            if not response.is_redirect:
                return response
            response.close()
            url = self.place(url, response)
        raise Permanent(f"{self.name} redirects too often.")

    def place(self, url: str, response: requests.Response) -> str:
        location = urljoin(url, response.headers.get("Location", ""))
        if not location.startswith("https://"):
            raise Permanent(f"{self.name} leads to an address without https.")
        return location

    def upload(self, blob: _Blob, content: "_Stream") -> None:
        with self.ask("POST", "/blobs/uploads/") as begun:
            place = self.place(self.root, begun)
        with self.ask("PATCH", place, body=content) as sent:
            place = self.place(place, sent)
        mark = "&" if "?" in place else "?"
        self.ask("PUT", f"{place}{mark}{urlencode({'digest': blob.digest})}").close()

    def store_manifest(self, digest: str, body: bytes, kind: str) -> None:
        """Store a manifest, with a tag: registries may clean up what has none."""
        tag = f"promoted-{digest.partition(':')[2][:40]}"
        try:
            self.ask("PUT", f"/manifests/{tag}", body=body, headers={"Content-Type": kind}).close()
        except RegistryFailed as failed:
            raise self.judged(failed) from None
        if self.manifest(digest) != (kind, body):
            raise Permanent(f"{self.name} stored something else than the image.")


class _Stream:
    """A blob on its way from one registry to the other; `len` is what requests asks for."""

    def __init__(self, response: requests.Response, blob: _Blob, origin: _Side) -> None:
        self.response, self.blob, self.origin = response, blob, origin
        self.len, self.left, self.hash = blob.size, blob.size, hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        """Is there for requests, which takes what has none for a form."""
        return iter(lambda: self.read(65_536), b"")

    def read(self, size: int = -1) -> bytes:
        if time.monotonic() > self.origin.ends_at:
            raise Temporary(f"Copying the image took longer than {COPY_SECONDS / 60:.0f} minutes.")
        wanted = min(self.left, size if size > 0 else 65_536)
        try:
            found: bytes = self.response.raw.read(wanted) if wanted else b""
        except (urllib3.exceptions.HTTPError, OSError):
            raise Temporary(f"{self.origin.name} cut the connection.") from None
        if wanted and not found:
            raise Temporary(f"{self.origin.name} cut the connection.")
        self.left -= len(found)
        self.hash.update(found)
        if not self.left and f"sha256:{self.hash.hexdigest()}" != self.blob.digest:
            raise Permanent(f"{self.origin.name} returns something else than the image.")
        return found


def _blobs(manifest: bytes) -> list[_Blob]:
    """Return what an image is made of, its configuration first."""
    try:
        found: Any = json.loads(manifest)
        rows = [found["config"], *found["layers"]]
        blobs = [_Blob(digest=str(row["digest"]), size=int(row["size"])) for row in rows]
    except (KeyError, TypeError, ValueError, RecursionError):
        blobs = []
    is_good = all(DIGEST.fullmatch(blob.digest) and blob.size >= 0 for blob in blobs)
    if not blobs or not is_good or len(blobs) > MOST_LAYERS:
        raise Permanent("The image has a manifest that the portal cannot read.")
    if sum(blob.size for blob in blobs) > MOST_IMAGE_BYTES:
        raise Permanent(f"The image is larger than {MOST_IMAGE_BYTES // 1024**3} GiB.")
    return blobs


def _bring(blob: _Blob, origin: _Side, place: _Side) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        if place.has(f"/blobs/{blob.digest}") or place.mount(blob, origin):
            return
        try:
            _stream(blob, origin, place)
        except Temporary:
            if attempt == ATTEMPTS:
                raise
        else:
            return


def _stream(blob: _Blob, origin: _Side, place: _Side) -> None:
    try:
        response = origin.open_blob(blob.digest)
    except RegistryFailed as failed:
        if failed.status == 404:
            raise Permanent(_gone("is not whole in its registry any more")) from None
        raise origin.judged(failed) from None
    with response:
        try:
            place.upload(blob, _Stream(response, blob, origin))
        except RegistryFailed as failed:
            raise place.judged(failed) from None


def _gone(how: str) -> str:
    return (
        f"The image with the packages {how}. Deploy the same code to the target once; promotions "
        "of it work from then on."
    )
