"""Asks a registry for a manifest and the configuration of an image, and believes digests alone.

    GET manifest ─► 401 with a challenge ─► GET token ─► GET manifest ─► GET configuration

Registry, server of tokens and storage behind a redirect are whatever the registry says, so each is
reached through the guard of addresses, and a credential goes to no other host by a redirect.
Source: OCI Distribution Specification 1.1; Token Authentication Specification, Distribution.
"""

import base64
import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from django.conf import settings

from apps.core.errors import Invalid
from apps.core.outbound.guarded_http import Answer, ExchangeFailed, Guard, Reach, get
from apps.own_images.references import Reference

SECONDS, MOST_SECONDS = 8.0, 20.0
MOST_BYTES = 4 * 1024 * 1024
MOST_REDIRECTS = 3
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPTED = ", ".join((*INDEXES, *MANIFESTS))
PLATFORM = ("linux", "amd64")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'([a-z_]{1,20})="([^"]{0,1000})"')


class ImageUnavailable(Invalid):
    """A registry does not give what was asked for; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="image")


@dataclass(frozen=True)
class Credential:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An image as its registry has it: the digest of the manifest for linux/amd64, and its
    configuration, whatever that holds.
    """

    digest: str
    configuration: Mapping[str, Any]


def fetch_image(*, reference: Reference, credential: Credential | None = None) -> Fetched:
    """Look an image up. Raises ImageUnavailable; the registry's own words are never repeated."""
    registry = _Registry(reference, credential)
    wanted = reference.digest or reference.tag
    digest, manifest = registry.manifest(wanted)
    if _kind(manifest) in INDEXES or "manifests" in manifest:
        digest, manifest = registry.manifest(_of_platform(manifest))
    described = manifest.get("config")
    configured = described.get("digest") if isinstance(described, dict) else None
    if not isinstance(configured, str) or not DIGEST.fullmatch(configured):
        raise ImageUnavailable("The registry's answer is no image that the portal can read.")
    return Fetched(digest=digest, configuration=registry.blob(configured))


class _Registry:
    """One registry, for one image."""

    def __init__(self, reference: Reference, credential: Credential | None) -> None:
        self.reference, self.credential = reference, credential
        self.host = reference.api_host
        self.root = f"{scheme_of(self.host)}://{self.host}/v2/{reference.repository}"
        self.authorization = ""
        self.ends_at = time.monotonic() + MOST_SECONDS

    def manifest(self, name: str) -> tuple[str, dict[str, Any]]:
        """Return the digest of a manifest and the manifest."""
        body = self._get(f"{self.root}/manifests/{quote(name, safe=':')}", accept=ACCEPTED)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if ":" in name and digest != name:
            raise ImageUnavailable("The registry answered with another image than was asked for.")
        return digest, _object(body)

    def blob(self, digest: str) -> dict[str, Any]:
        body = self._get(f"{self.root}/blobs/{digest}", accept="*/*")
        if hashlib.sha256(body).hexdigest() != digest.removeprefix("sha256:"):
            raise ImageUnavailable("The registry answered with another image than was asked for.")
        return _object(body)

    def _get(self, url: str, *, accept: str) -> bytes:
        answer = self._ask(url, accept)
        if answer.status == 401 and not self.authorization:
            self.authorization = self._answer_to(_header(answer, "www-authenticate"))
            answer = self._ask(url, accept)
        if answer.status != 200:
            raise self._refusal(answer.status)
        if len(answer.body) >= MOST_BYTES:
            raise ImageUnavailable("The image's description is too large to be read.")
        return answer.body

    def _ask(self, url: str, accept: str) -> Answer:
        """Ask, and follow redirects to where blobs are stored, without the credential."""
        headers = {"Accept": accept}
        if self.authorization:
            headers["Authorization"] = self.authorization
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._exchange(url, headers)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = urljoin(url, _header(answer, "location"))
            headers.pop("Authorization", None)
        raise ImageUnavailable("The registry redirects too often.")

    def _answer_to(self, challenge: str) -> str:
        """Return the `Authorization` that a challenge asks for; a token is fetched for it."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic" and self.credential:
            return self._basic(self.credential)
        given = dict(_PARAMETER.findall(rest[:2_000]))
        if kind.lower() != "bearer" or "realm" not in given:
            raise self._refusal(401)
        asked = {"scope": f"repository:{self.reference.repository}:pull"}
        if given.get("service"):
            asked["service"] = given["service"]
        headers = {"Accept": "application/json"}
        if self.credential:
            headers["Authorization"] = self._basic(self.credential)
        realm = given["realm"]
        answer = self._exchange(f"{realm}{'&' if '?' in realm else '?'}{urlencode(asked)}", headers)
        if answer.status != 200:
            raise self._refusal(401)
        granted = _object(answer.body)
        token = granted.get("token") or granted.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise self._refusal(401)
        return f"Bearer {token}"

    def _exchange(self, url: str, headers: Mapping[str, str]) -> Answer:
        left = max(0.1, min(SECONDS, self.ends_at - time.monotonic()))
        guard = Guard(reach=reach_of(url), seconds=left, most_bytes=MOST_BYTES)
        try:
            return get(url, headers=headers, guard=guard)
        except (ExchangeFailed, ValueError) as error:
            said = error.message if isinstance(error, ExchangeFailed) else "Its answer is wrong."
            raise ImageUnavailable(f"The registry {self.host} cannot be asked. {said}") from None

    def _basic(self, credential: Credential) -> str:
        pair = f"{credential.user}:{credential.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def _refusal(self, status: int) -> ImageUnavailable:
        if status in (401, 403, 404):
            return ImageUnavailable(
                f"The registry {self.host} has no such image, or it needs another pull secret. "
                "Check the name and the tag, and enter user and password."
            )
        if status == 429:
            return ImageUnavailable(
                f"The registry {self.host} gets too many requests. Try again in a few minutes."
            )
        return ImageUnavailable(
            f"The registry {self.host} answered with status {status}. Try again later."
        )


def _of_platform(index: Mapping[str, Any]) -> str:
    """Return the digest of the image for linux/amd64. Raises ImageUnavailable without one."""
    listed = index.get("manifests")
    entries = [one for one in listed[:100] if isinstance(one, dict)] if listed else []
    seen = []
    for one in entries:
        platform = one.get("platform")
        named = platform if isinstance(platform, dict) else {}
        pair = (str(named.get("os", ""))[:20], str(named.get("architecture", ""))[:20])
        digest = one.get("digest")
        if pair == PLATFORM and isinstance(digest, str) and DIGEST.fullmatch(digest):
            return digest
        seen.append("/".join(pair))
    raise ImageUnavailable(wrong_platform(seen))


def wrong_platform(seen: list[str]) -> str:
    """Say that an image is for other machines."""
    there = sorted({one for one in seen if one.isprintable() and "unknown" not in one})
    named = f" There is one for {', '.join(there[:5])}." if there else ""
    return (
        f"There is no image for linux/amd64, which clusters here run.{named} "
        "Build it with --platform linux/amd64."
    )


def _kind(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("mediaType", ""))


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ImageUnavailable("The registry's answer is no image that the portal can read.")
    return found


def _header(answer: Answer, name: str) -> str:
    found = (value for key, value in answer.headers.items() if key.lower() == name)
    return next(found, "")[:4_000]


def reach_of(url: str) -> Reach:
    """Return what may be reached at the address of a registry."""
    # The portal's own registry is where its operator says.
    is_own = urlsplit(url).netloc in (settings.REGISTRY, urlsplit(settings.PORTAL_URL).netloc)
    allows_http = settings.REGISTRIES_ALLOW_HTTP or (is_own and not settings.IS_TLS)
    return Reach(
        networks=settings.REGISTRY_NETWORKS,
        setting="PORTAL_REGISTRY_NETWORKS",
        allows_http=allows_http,
        ca=settings.REGISTRY_CA,
    )


def scheme_of(host: str) -> str:
    """Clients speak plain HTTP to a registry of this machine alone, and so does the portal."""
    name = host.rpartition(":")[0] or host
    is_here = name == "localhost" or name.startswith("127.")
    return "http" if is_here else "https"
