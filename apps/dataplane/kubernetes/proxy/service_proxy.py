"""What the Kubernetes API's service proxy does to a request and an answer, and how to undo it.

The proxy consumes `Authorization`, prepends its own path to addresses in `Location` and in HTML
attributes (never in other bodies), adds headers, and responds with a `Status` object when it cannot
reach Airflow. Source: k8s.io/apimachinery/pkg/util/proxy. Pure.
"""

import json
import re
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from multidict import CIMultiDict

from apps.dataplane.kubernetes.config import Connection

AIRFLOW_PORT = 8080
AIRFLOW_SERVICE = f"api-server:{AIRFLOW_PORT}"
SESSION_COOKIE = "_token"
# With these a client of a Kubernetes API impersonates another user, or writes into its audit log.
ACTING_AS = re.compile(r"authorization|impersonate-.*|x-remote-.*|sec-websocket-.*|audit-id|host")
OF_THE_API_SERVER = re.compile(
    r"audit-id|x-kubernetes-.*|warning|www-authenticate|strict-transport-security"
)
# Added before Airflow's own by the API server, and wrong for files that never change.
API_SERVER_CACHING = "no-cache, private"
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
LARGEST_STATUS_BYTES = 65_536
# Airflow responds in none of these; the API server does when they are accepted.
FORMATS_OF_THE_API_SERVER = (
    "application/yaml",
    "application/cbor",
    "application/vnd.kubernetes.protobuf",
)
# Of Go's net package; of konnectivity, by which the control planes of several clouds reach their
# nodes; and of k3s, whose tunnel to a node is one of its own.
WAY_IS_CLOSED = (
    "i/o timeout",
    "no route to host",
    "context deadline exceeded",
    "network is unreach",
    "No agent available",
    "dial timeout",
    "while dialing",
)

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Refusal:
    """A response of the API server itself: it did not reach Airflow, or got no response."""

    code: int
    message: str


def proxy_path(connection: Connection, ref: str) -> str:
    """Return the path below which a cluster's API passes requests on to Airflow `ref`."""
    return f"/api/v1/namespaces/{connection.home(ref)}/services/{AIRFLOW_SERVICE}/proxy"


def for_cluster(headers: CIMultiDict[str], connection: Connection) -> CIMultiDict[str]:
    """Return a browser's headers with the portal's credential in place of the browser's own.

    A token meant for Airflow is forwarded as Airflow's session cookie, which it accepts wherever it
    accepts a token. As there, a token takes precedence over the cookie.
    """
    kept = CIMultiDict(
        (name, value) for name, value in headers.items() if not ACTING_AS.fullmatch(name.lower())
    )
    if "Authorization" in headers:
        _replace_session(kept, bearer_token(headers))
    # The proxy rewrites HTML only if it can decompress it, and so must this.
    kept["Accept-Encoding"] = "gzip" if "gzip" in kept.get("Accept-Encoding", "") else "identity"
    if connection.token:
        kept["Authorization"] = f"Bearer {connection.token}"
    return kept


def for_browser(
    headers: CIMultiDict[str], connection: Connection, *, ref: str, had_token: bool
) -> CIMultiDict[str]:
    """Return a response's headers without those that the API server added."""
    kept = CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if not OF_THE_API_SERVER.fullmatch(name.lower())
        and not (had_token and _sets_session(name, value))
    )
    caching = kept.popall("Cache-Control", [])
    if len(caching) > 1 and caching[0] == API_SERVER_CACHING:
        caching = caching[1:]
    kept.extend(("Cache-Control", value) for value in caching)
    if "Location" in kept:
        kept["Location"] = own_location(kept["Location"], connection, ref=ref)
    if is_html(headers):
        kept.popall("Content-Length", None)
        kept.popall("Content-Encoding", None)
    return kept


def bearer_token(headers: CIMultiDict[str]) -> str:
    """Return the bearer token that the request carries for Airflow, "" if there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and TOKEN.fullmatch(token) else ""


def own_location(location: str, connection: Connection, *, ref: str) -> str:
    """Undo what the proxy did to the address of a redirect."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return location
    server = urlsplit(connection.server)
    if parts.netloc and parts.netloc != server.netloc:
        return location
    path = parts.path
    for prefix in _prefixes(connection, ref):
        if path.startswith(f"{prefix}/"):
            path = path.removeprefix(prefix)
            break
    return parts._replace(scheme="", netloc="", path=path).geturl()


def is_html(headers: CIMultiDict[str]) -> bool:
    """Return whether the proxy may have rewritten the body: HTML in a known compression."""
    kind = _kind(headers.get("Content-Type", ""))
    return kind == "text/html" and headers.get("Content-Encoding", "") in ("", "gzip")


async def own_html(
    chunks: AsyncIterator[bytes], connection: Connection, *, ref: str, encoding: str
) -> AsyncIterator[bytes]:
    """Remove the proxy's path from HTML attributes, chunk by chunk, and decompress.

    The proxy writes the attributes that it touches with double quotes. Raises OSError for a body
    that is not in `encoding`.
    """
    marks = [f'="{prefix}/'.encode() for prefix in _prefixes(connection, ref)]
    unpacked = _unpacked(chunks) if encoding == "gzip" else chunks
    kept = b""
    async for chunk in unpacked:
        kept += chunk
        for mark in marks:
            kept = kept.replace(mark, b'="/')
        # What follows the last opening quotation mark may be the first half of an address.
        split = len(kept) - max(map(len, marks)) + 1
        if split > 0:
            yield kept[:split]
            kept = kept[split:]
    yield kept


def refusal(status: int, content_type: str, body: bytes) -> Refusal | None:
    """Recognize a response of the API server itself, as opposed to one of Airflow's."""
    kind = _kind(content_type)
    if kind in FORMATS_OF_THE_API_SERVER or (status == 429 and kind == "text/plain"):
        return Refusal(status, "")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_status = isinstance(said, dict) and said.get("kind") == "Status"
    if not is_status or said.get("apiVersion") != "v1":
        return None
    return Refusal(status, str(said.get("message", "")))


def is_way_closed(refused: Refusal) -> bool:
    """Return whether the API server knows a ready pod and cannot connect to it, as opposed to none
    being ready.
    """
    return "trying to reach service" in refused.message and any(
        one in refused.message for one in WAY_IS_CLOSED
    )


def may_be_refusal(status: int, headers: CIMultiDict[str]) -> bool:
    """Return whether the beginning of a response must be read to know whose it is."""
    kind = _kind(headers.get("Content-Type", ""))
    is_known = kind in ("application/json", "text/plain", *FORMATS_OF_THE_API_SERVER)
    return status >= 400 and is_known and "Content-Encoding" not in headers


def _kind(content_type: str) -> str:
    return content_type.split(";")[0].strip().lower()


def _prefixes(connection: Connection, ref: str) -> tuple[str, ...]:
    """The proxy's path as the API server has it, after the prefix of a proxy before it."""
    outer = urlsplit(connection.server).path.rstrip("/")
    path = proxy_path(connection, ref)
    return (f"{outer}{path}", path) if outer else (path,)


def _replace_session(headers: CIMultiDict[str], token: str) -> None:
    pairs = [pair.strip() for pair in headers.get("Cookie", "").split(";")]
    others = [pair for pair in pairs if pair and pair.partition("=")[0] != SESSION_COOKIE]
    cookies = [*others, f"{SESSION_COOKIE}={token}"] if token else others
    headers.popall("Cookie", None)
    if cookies:
        headers["Cookie"] = "; ".join(cookies)


def _sets_session(name: str, value: str) -> bool:
    return name.lower() == "set-cookie" and value.partition("=")[0].strip() == SESSION_COOKIE


async def _unpacked(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        async for chunk in chunks:
            while chunk:
                yield unpacker.decompress(chunk, max_length=1_048_576)
                chunk = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error:
        raise OSError("the body is not what its headers say") from None
