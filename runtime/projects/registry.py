"""Repositories of a registry of container images, by its HTTP API.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md and, for tokens,
https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import hashlib
import http.client
import json
import platform
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import job
from job import Failed

OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = ", ".join((OCI, DOCKER, OCI_INDEX, DOCKER_INDEX))
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
SECONDS = 60
ATTEMPTS = 3
MOST_REDIRECTS = 5
MOST_BYTES = 16 * 1024**2
HUB = "registry-1.docker.io"


class Lost(Exception):
    """No answer came, or the connection was cut."""


class Repository:
    """One repository, `host/path`. With a credential it may be written to."""

    def __init__(
        self, name: str, *, context: ssl.SSLContext, user: str = "", password: str = ""
    ) -> None:
        self.host, _, self.path = name.partition("/")
        self.user, self.password = user, password
        self.tokens: dict[str, str] = {}
        self.opener = job.opener(context)

    def manifest(self, reference: str) -> tuple[dict[str, Any], str, str] | None:
        """Return the manifest of a tag or digest for this machine, with its media type and digest;
        None where there is none.
        """
        path = f"/manifests/{reference}"
        status, body, headers = self.call("GET", path, {"Accept": ACCEPTED}, known=(404,))
        if status == 404:
            return None
        found = parsed(body)
        kind = str(found.get("mediaType") or headers.get("Content-Type", "").split(";")[0])
        if kind in (OCI_INDEX, DOCKER_INDEX):
            return self.manifest(of_this_machine(found))
        return found, kind, digest_of(body)

    def json_blob(self, digest: str) -> dict[str, Any]:
        """Return a small blob that is JSON."""
        _, body, _ = self.call("GET", f"/blobs/{digest}", {})
        if digest_of(body) != digest:
            raise Failed("registry-broken", f"{digest} is not what the registry returns.")
        return parsed(body)

    def has_blob(self, digest: str) -> bool:
        status, _, _ = self.call("HEAD", f"/blobs/{digest}", {}, known=(404,))
        return status != 404

    def mount(self, digest: str, *, source: "Repository") -> bool:
        """Take a blob over from another repository of this registry; False where it is another
        registry, or that refuses.
        """
        if source.host != self.host or source.path == self.path:
            return False
        query = urllib.parse.urlencode({"mount": digest, "from": source.path})
        also = f"repository:{source.path}:pull"
        status, _, _ = self.call("POST", f"/blobs/uploads/?{query}", {}, body=b"", also=also)
        return status == 201

    def push_bytes(self, content: bytes) -> dict[str, Any]:
        """Store a small blob; return its descriptor without a media type."""
        digest = digest_of(content)
        if not self.has_blob(digest):
            self.retried(lambda: self.upload(digest, content, len(content)))
        return {"digest": digest, "size": len(content)}

    def push_file(self, path: Path, digest: str, size: int) -> None:
        """Store a large blob."""

        def send() -> None:
            with path.open("rb") as content:
                self.upload(digest, content, size)

        if not self.has_blob(digest):
            self.retried(send)

    def copy_blob(self, digest: str, size: int, *, source: "Repository") -> None:
        """Bring a blob of another registry here, without keeping it in between."""

        def send() -> None:
            with source.open_blob(digest) as content:
                self.upload(digest, content, size)

        self.retried(send)

    def put_manifest(self, tag: str, body: bytes, kind: str) -> str:
        """Store a manifest under a tag; return its digest."""
        self.call("PUT", f"/manifests/{tag}", {"Content-Type": kind}, body=body)
        return digest_of(body)

    def upload(self, digest: str, content: "bytes | IO[bytes]", size: int) -> None:
        """Store a blob in one piece."""
        _, _, headers = self.call("POST", "/blobs/uploads/", {"Content-Length": "0"}, body=b"")
        kind = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        place = self.absolute(headers.get("Location", ""))
        _, _, headers = self.call("PATCH", place, kind, body=content)
        place = self.absolute(headers.get("Location", "") or place)
        mark = "&" if "?" in place else "?"
        end = f"{place}{mark}{urllib.parse.urlencode({'digest': digest})}"
        self.call("PUT", end, {"Content-Length": "0"}, body=b"")

    def open_blob(self, digest: str) -> Any:
        return self.open("GET", f"/blobs/{digest}", {}, None, "")

    def retried(self, send: Any) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                send()
            except Lost as lost:
                if attempt == ATTEMPTS:
                    raise Failed("registry-lost", str(lost)) from None
            else:
                return

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: "bytes | IO[bytes] | None" = None,
        known: tuple[int, ...] = (),
        also: str = "",
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send a request with what the registry asks for; return status, body and headers."""
        try:
            with self.open(method, path, headers, body, also) as response:
                return response.status, response.read(MOST_BYTES), response.headers
        except urllib.error.HTTPError as error:
            with error:
                if error.code in known:
                    return error.code, b"", error.headers
                raise self.failure(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise self.lost(error, is_upload=method == "PATCH") from None

    def open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: "bytes | IO[bytes] | None",
        also: str,
    ) -> Any:
        url = path if path.startswith("https://") else f"https://{self.host}/v2/{self.path}{path}"
        try:
            return self.send(method, url, {**headers, **self.authorization(url, also)}, body)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            challenge = error.headers.get("WWW-Authenticate", "")
            error.close()
        self.sign_in(challenge, also)
        if not isinstance(body, (bytes, type(None))):
            body.seek(0)
        return self.send(method, url, {**headers, **self.authorization(url, also)}, body)

    def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: "bytes | IO[bytes] | None",
    ) -> Any:
        """Send one request. Blobs may lie with another host, which gets no credential of ours."""
        for _ in range(MOST_REDIRECTS):
            request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310
            try:
                return self.opener.open(request, timeout=SECONDS)
            except urllib.error.HTTPError as error:
                target = urllib.parse.urljoin(url, error.headers.get("Location", ""))
                is_moved = error.code in (301, 302, 303, 307, 308) and method in ("GET", "HEAD")
                if not is_moved or not target.startswith("https://"):
                    raise
                if host_of(target) != host_of(url):
                    headers = {k: v for k, v in headers.items() if k != "Authorization"}
                url = target
        raise Failed("registry-broken", "It redirects without end.")

    def authorization(self, url: str, also: str) -> dict[str, str]:
        token = self.tokens.get(also)
        return {"Authorization": token} if token and host_of(url) == self.host else {}

    def sign_in(self, challenge: str, also: str) -> None:
        """Get what a challenge asks for."""
        scheme, _, rest = challenge.partition(" ")
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() == "basic" and self.user:
            self.tokens[also] = self.basic()
            return
        realm = asked.get("realm", "")
        if scheme.lower() != "bearer" or not realm.startswith("https://"):
            raise Failed("registry-refused", f"{self.host} {self.path}")
        actions = "pull,push" if self.user else "pull"
        scopes = [f"repository:{self.path}:{actions}", *([also] if also else [])]
        query = [("service", asked.get("service", "")), *(("scope", one) for one in scopes)]
        headers = {"Authorization": self.basic()} if self.user else {}
        url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(query)}"
        with self.send("GET", url, headers, None) as response:
            said = parsed(response.read(MOST_BYTES))
        self.tokens[also] = f"Bearer {said.get('token') or said.get('access_token') or ''}"

    def basic(self) -> str:
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return f"Basic {pair}"

    def absolute(self, location: str) -> str:
        place = urllib.parse.urljoin(f"https://{self.host}/", location)
        if not location or not place.startswith("https://"):
            raise Failed("registry-broken", "It names no place to upload to.")
        return place

    def failure(self, error: urllib.error.HTTPError) -> Failed:
        said = " ".join(error.read(1_000).decode("utf-8", "replace").split())
        detail = f"{self.host}/{self.path}: status {error.code}. {said[:300]}"
        if error.code in (401, 403):
            return Failed("registry-refused", detail)
        # The distribution registry passes the number of the system's error on: 28 is "no space".
        words = ("no space left", '"Err":28', "quota")
        is_full = error.code in (413, 507) or any(word.lower() in said.lower() for word in words)
        return Failed("registry-full" if is_full else "registry-failed", detail)

    def lost(self, error: Exception, *, is_upload: bool) -> Exception:
        reason = getattr(error, "reason", error)
        if is_upload:
            return Lost(f"{self.host}: {reason}")
        if isinstance(reason, ssl.SSLCertVerificationError):
            return Failed("registry-untrusted", f"{self.host}: {reason.verify_message}")
        return Failed("registry-away", f"{self.host}: {reason}")


def parse_image(image: str) -> tuple[str, str]:
    """Return repository and tag or digest of an image; names without a host are of Docker Hub."""
    name, _, digest = image.partition("@")
    tag = "latest"
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
    first, _, rest = name.partition("/")
    if first in ("docker.io", "index.docker.io"):
        name, first = rest, rest.partition("/")[0]
    is_host = "." in first or ":" in first or first == "localhost"
    if not is_host or "/" not in name:
        name = f"{HUB}/{name}" if "/" in name else f"{HUB}/library/{name}"
    return name, digest or tag


def of_this_machine(index: dict[str, Any]) -> str:
    """Return the digest in an index for the processor that this runs on."""
    wanted = MACHINES.get(platform.machine(), platform.machine())
    for one in index.get("manifests") or []:
        where = one.get("platform") or {}
        if (where.get("os"), where.get("architecture")) == ("linux", wanted):
            return str(one["digest"])
    raise Failed("image-missing", f"linux/{wanted}")


def parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Failed("registry-broken", "It returns something that is not JSON.")
    return found


def host_of(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
