"""Calls of the portal itself to the registry of a cluster, over HTTP.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

import requests

from apps.core.outbound.guarded_http import Reach, guard_session
from apps.dataplane.kubernetes.config import Registry
from apps.dataplane.untrusted import text_of

SECONDS = (2.0, 4.0)
MOST_BYTES = 64 * 1024
NETWORKS_SETTING = "PORTAL_CLUSTER_NETWORKS"
REFUSED = "It refuses the user and password, or they may not push there."


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
    body: bytes = b"",
    *,
    actions: str = "pull,push",
) -> requests.Response:
    """Send one request, with what the registry asks for to sign in. `actions` are what its token is
    for. Raises RegistryFailed for whatever the registry refuses.
    """
    is_own = urlsplit(url).netloc == registry.host
    response = _send(session, method, url, body, is_own=is_own)
    if response.status_code == 401 and is_own:
        challenge = response.headers.get("WWW-Authenticate", "")
        session.headers["Authorization"] = _authorization(session, registry, challenge, actions)
        response = _send(session, method, url, body, is_own=True)
    if response.status_code in (401, 403):
        raise RegistryFailed(REFUSED, status=response.status_code)
    if response.status_code >= 400:
        said = text_of(response.raw.read(1_000).decode("utf-8", "replace"), 150)
        sentence = f"It answers with status {response.status_code}. {said}".strip()
        raise RegistryFailed(sentence, status=response.status_code)
    return response


def _send(
    session: requests.Session, method: str, url: str, body: bytes, *, is_own: bool
) -> requests.Response:
    headers: dict[str, str | bytes | None] = {}
    if body:
        headers["Content-Type"] = "application/octet-stream"
    if not is_own:
        # Other hosts get no credential: a header of None is not sent.
        headers["Authorization"] = None
    return session.request(
        method,
        url,
        data=body,
        headers=headers,
        allow_redirects=False,
        stream=True,
        timeout=SECONDS,
    )


def _authorization(
    session: requests.Session, registry: Registry, challenge: str, actions: str
) -> str:
    pair = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        return f"Basic {pair}"
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = asked.get("realm", "")
    if scheme.lower() != "bearer" or not realm.startswith("https://"):
        raise RegistryFailed("It asks to sign in in an unknown way.")
    path = registry.repository.partition("/")[2]
    query = {"service": asked.get("service", ""), "scope": f"repository:{path}:{actions}"}
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
