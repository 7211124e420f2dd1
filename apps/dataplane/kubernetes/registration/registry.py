"""Whether images can be stored in the registry of a cluster: a small blob is pushed and pulled.

The portal does it, so the answer holds for the portal's own network. Jobs and nodes reach the
registry from theirs; the first project shows it.
"""

import base64
import hashlib
import re
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from apps.core.outbound.addresses import AddressRefused, NameUnknown
from apps.core.outbound.guarded_http import Reach, guard_session
from apps.dataplane.kubernetes.config import ClusterConfig, Registry
from apps.dataplane.status import Finding
from apps.dataplane.untrusted import text_of

TITLE = "Registry"
BLOB = b"The portal may push here.\n"
DIGEST = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"
SECONDS = (2.0, 4.0)
MOST_BYTES = 64 * 1024
NETWORKS_SETTING = "PORTAL_CLUSTER_NETWORKS"


class _Failed(Exception):
    """The registry does not do what is asked of it; the text says why."""


def registry_finding(config: ClusterConfig) -> tuple[Finding, ...]:
    """Say whether the portal can push and pull; nothing where the cluster has no registry."""
    registry = config.registry
    if registry is None:
        return ()
    try:
        _try(registry, config.connection.networks or ())
    except _Failed as failed:
        return (_finding(registry, str(failed)),)
    except (AddressRefused, NameUnknown) as refused:
        return (_finding(registry, refused.message),)
    except requests.exceptions.SSLError:
        return (_finding(registry, "Its certificate is not trusted."),)
    except requests.RequestException:
        return (_finding(registry, "It does not answer the portal."),)
    detail = f"The portal can push to {registry.repository} and pull from it."
    return (Finding(title=TITLE, is_ok=True, detail=detail),)


def _finding(registry: Registry, problem: str) -> Finding:
    return Finding(
        title=TITLE,
        is_ok=False,
        detail=f"{registry.repository}: {problem}",
        remedy="Check repository, user, password and CA certificate in the settings. If only the "
        "cluster reaches the registry, projects with packages may work all the same.",
    )


def _try(registry: Registry, networks: tuple[str, ...]) -> None:
    reach = Reach(
        networks=networks,
        setting=NETWORKS_SETTING,
        allows_http=False,
        ca=registry.ca_certificate,
    )
    with requests.Session() as session:
        guard_session(session, reach)
        path = registry.repository.partition("/")[2]
        base = f"https://{registry.host}/v2/{path}/blobs"
        begun = _ask(session, registry, "POST", f"{base}/uploads/")
        place = urljoin(f"https://{registry.host}/", begun.headers.get("Location", ""))
        mark = "&" if "?" in place else "?"
        _ask(session, registry, "PUT", f"{place}{mark}{urlencode({'digest': DIGEST})}", BLOB)
        pulled = _ask(session, registry, "GET", f"{base}/{DIGEST}")
        # Blobs may lie with a store of objects, which is not asked here.
        if not pulled.is_redirect and pulled.raw.read(MOST_BYTES) != BLOB:
            raise _Failed("It returns another blob than the one that was pushed.")


def _ask(
    session: requests.Session, registry: Registry, method: str, url: str, body: bytes = b""
) -> requests.Response:
    """Send one request, with what the registry asks for to sign in."""
    is_own = urlsplit(url).netloc == registry.host
    response = _send(session, method, url, body, is_own=is_own)
    if response.status_code == 401 and is_own:
        challenge = response.headers.get("WWW-Authenticate", "")
        session.headers["Authorization"] = _authorization(session, registry, challenge)
        response = _send(session, method, url, body, is_own=True)
    if response.status_code in (401, 403):
        raise _Failed("It refuses the user and password, or they may not push there.")
    if response.status_code >= 400:
        said = text_of(response.raw.read(1_000).decode("utf-8", "replace"), 150)
        raise _Failed(f"It answers with status {response.status_code}. {said}".strip())
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


def _authorization(session: requests.Session, registry: Registry, challenge: str) -> str:
    pair = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        return f"Basic {pair}"
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = asked.get("realm", "")
    if scheme.lower() != "bearer" or not realm.startswith("https://"):
        raise _Failed("It asks to sign in in an unknown way.")
    path = registry.repository.partition("/")[2]
    query = {"service": asked.get("service", ""), "scope": f"repository:{path}:pull,push"}
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
        raise _Failed("It refuses the user and password, or they may not push there.")
    return found[1].decode()
