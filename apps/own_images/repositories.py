"""A repository of the portal's own registry as its owner sees it: its tags, and images that go.

Source: OCI Distribution Specification 1.1, Content Discovery and Content Management.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

from django.conf import settings

from apps.core.errors import PortalError
from apps.core.outbound.guarded_http import Answer, ExchangeFailed, Guard, delete, get
from apps.own_images.registries import ACCEPTED, DIGEST, reach_of, scheme_of

SECONDS = 8.0
MOST_BYTES = 4 * 1024 * 1024
MOST_PAGES, PAGE, MOST_CHILDREN = 20, 500, 100
# Bearer tokens of the portal last for five minutes.
SIGN_AGAIN_SECONDS = 120


class RepositoryFailed(PortalError):
    """The registry does not do what is asked of it."""


@dataclass(frozen=True, kw_only=True)
class PushedManifest:
    """What a tag means: `digest` of an image, or of an index of images, which are `children`."""

    digest: str
    children: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        return (self.digest, *self.children)


class Repository:
    """`path` in the portal's registry. `sign` makes a token that may pull and delete there."""

    def __init__(self, path: str, *, sign: Callable[[], str]) -> None:
        self.root = f"{scheme_of(settings.REGISTRY)}://{settings.REGISTRY}/v2/{path}"
        self._sign, self._token, self._signed_at = sign, "", 0.0

    def tags(self) -> list[str]:
        """List the tags, none where nothing was ever pushed. Raises RepositoryFailed."""
        url, found = f"{self.root}/tags/list?n={PAGE}", []
        for _ in range(MOST_PAGES):
            answer = self._ask(get, url)
            if answer.status == 404:
                break
            self._expect(answer, 200)
            listed = _object(answer.body).get("tags")
            found += [one for one in listed or [] if isinstance(one, str) and len(one) <= 128]
            link = next((v for k, v in answer.headers.items() if k.lower() == "link"), "")
            target = urljoin(url, link.partition("<")[2].partition(">")[0])
            if not link or not target.startswith(f"{self.root}/tags/list"):
                break
            url = target
        return found

    def manifest(self, tag: str) -> PushedManifest | None:
        """Return what a tag means, None where it is gone. Raises RepositoryFailed."""
        answer = self._ask(get, f"{self.root}/manifests/{quote(tag, safe=':')}", accept=ACCEPTED)
        if answer.status == 404:
            return None
        self._expect(answer, 200)
        listed = _object(answer.body).get("manifests")
        rows = listed[:MOST_CHILDREN] if isinstance(listed, list) else []
        named = [row.get("digest") for row in rows if isinstance(row, dict)]
        children = [one for one in named if isinstance(one, str) and DIGEST.fullmatch(one)]
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        return PushedManifest(digest=digest, children=tuple(children))

    def delete(self, digest: str) -> None:
        """Delete a manifest with all its tags; one that is gone already is deleted. Raises
        RepositoryFailed.
        """
        answer = self._ask(delete, f"{self.root}/manifests/{digest}")
        if answer.status == 405:
            raise RepositoryFailed(
                "The registry does not let images be removed. Set storage.delete.enabled in its "
                "configuration, and restart it."
            )
        if answer.status != 404:
            self._expect(answer, 202)

    def _ask(self, call: Callable[..., Answer], url: str, *, accept: str = "*/*") -> Answer:
        if time.monotonic() - self._signed_at > SIGN_AGAIN_SECONDS:
            self._token, self._signed_at = self._sign(), time.monotonic()
        headers = {"Accept": accept, "Authorization": f"Bearer {self._token}"}
        guard = Guard(reach=reach_of(url), seconds=SECONDS, most_bytes=MOST_BYTES)
        try:
            return call(url, headers=headers, guard=guard)
        except ExchangeFailed as error:
            raise RepositoryFailed(f"The registry cannot be asked. {error.message}") from None

    def _expect(self, answer: Answer, status: int) -> None:
        if answer.status in (401, 403):
            raise RepositoryFailed(
                "The registry does not believe the portal's token. Compare its configuration with "
                "the page Registry."
            )
        if answer.status != status:
            raise RepositoryFailed(f"The registry answers with status {answer.status}.")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RepositoryFailed("The registry answers with something that is not JSON.")
    return found
