"""Calls of the portal itself to the registry of a cluster, over HTTP.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import requests

from apps.core.outbound.guarded_http import Reach, guard_session
from apps.dataplane.kubernetes.config import Registry
from apps.dataplane.untrusted import text_of

SECONDS = (2.0, 4.0)
MOST_BYTES = 64 * 1024
NETWORKS_SETTING = "PORTAL_CLUSTER_NETWORKS"
REFUSED = "It refuses the user and password, or they may not push there."


class Readable(Protocol):
    """A body that is sent while it is read; `len` is how many bytes it has."""

    len: int

    def read(self, size: int = -1) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...


Body = bytes | Readable


class RegistryFailed(Exception):
    """The registry does not do what is asked of it; the text says why. `status` is of its answer,
    0 where that has none.
    """

    def __init__(self, text: str, *, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@contextmanager
def registry_session(registry: Registry, networks: tuple[str, ...]) -> Iterator[requests.Session]:
    """Open a session that reaches allowed addresses alone, and trusts the CA of the registry."""
    reach = Reach(
        networks=networks,
        setting=NETWORKS_SETTING,
        allows_http=False,
        ca=registry.ca_certificate,
    )
    with requests.Session() as session:
        guard_session(session, reach)
        yield session


def ask(
    session: requests.Session,
    registry: Registry,
    method: str,
    url: str,
    body: Body = b"",
    *,
    actions: str = "pull,push",
    also: str = "",
    headers: Mapping[str, str] | None = None,
    seconds: tuple[float, float] = SECONDS,
) -> requests.Response:
    """Send one request, with what the registry asks for to sign in. `actions` are what its token is
    for, `also` another scope; `seconds` are to connect and to wait for bytes. Raises RegistryFailed
    for whatever the registry refuses.
    """
    is_own = urlsplit(url).netloc == registry.host

    def send() -> requests.Response:
        sent = _headers(body, headers, is_own=is_own)
        return session.request(
            method,
            url,
            data=body,
            headers=sent,
            allow_redirects=False,
            stream=True,
            timeout=seconds,
        )

    response = send()
    if response.status_code == 401 and is_own:
        challenge = response.headers.get("WWW-Authenticate", "")
        response.close()
        scopes = [f"repository:{registry.repository.partition('/')[2]}:{actions}"]
        scopes += [also] if also else []
        session.headers["Authorization"] = _authorization(session, registry, challenge, scopes)
        response = send()
    if response.status_code in (401, 403):
        response.close()
        raise RegistryFailed(REFUSED, status=response.status_code)
    if response.status_code >= 400:
        with response:
            said = text_of(response.raw.read(1_000).decode("utf-8", "replace"), 150)
        sentence = f"It answers with status {response.status_code}. {said}".strip()
        raise RegistryFailed(sentence, status=response.status_code)
    return response


def _headers(
    body: Body, given: Mapping[str, str] | None, *, is_own: bool
) -> dict[str, str | bytes | None]:
    headers: dict[str, str | bytes | None] = {}
    if body:
        headers["Content-Type"] = "application/octet-stream"
    headers |= given or {}
    if not is_own:
        # Other hosts get no credential: a header of None is not sent.
        headers["Authorization"] = None
    return headers


def _authorization(
    session: requests.Session, registry: Registry, challenge: str, scopes: list[str]
) -> str:
    pair = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        return f"Basic {pair}"
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = asked.get("realm", "")
    if scheme.lower() != "bearer" or not realm.startswith("https://"):
        raise RegistryFailed("It asks to sign in in an unknown way.")
    query = [("service", asked.get("service", "")), *(("scope", one) for one in scopes)]
    response = session.get(
        f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}",
        headers={"Authorization": f"Basic {pair}"} if registry.user else {},
        allow_redirects=False,
        stream=True,
        timeout=SECONDS,
    )
    return f"Bearer {_token(response)}"


def _token(response: requests.Response) -> str:
    found = re.search(
        rb'"(?:access_)?token"\s*:\s*"([\w.~+/=-]{1,8192})"', response.raw.read(MOST_BYTES)
    )
    if response.status_code != 200 or found is None:
        raise RegistryFailed(REFUSED, status=response.status_code)
    return found[1].decode()
