"""The way of uv to package indexes of people's own, on this machine.

uv gets no credential and connects to nothing by itself: while it runs, a server of ours on
loopback is its proxy.

    uv ── http://<key>.index.invalid/… ──▶ + the credential ──▶ the index, over TLS
       └─ CONNECT files.example.org:443 ─────────────────────▶ bytes as they are

Either way the name is looked up here and the connection goes to an address that was checked, also
where an index redirects or its links lead elsewhere. Addresses of the index in its own pages and
redirects are rewritten, so that its files are asked for with the credential, too.
"""

import base64
import hmac
import http.server
import secrets
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from apps.core.errors import PortalError
from apps.core.outbound.addresses import AddressRefused, allowed_addresses, connect
from apps.core.outbound.guarded_http import Reach, guard_session
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.spec import PackageIndex

SETTING = "PORTAL_PACKAGE_INDEX_NETWORKS"
CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
CHUNK_BYTES = 64 * 1024
MOST_PAGE_BYTES = 64 * 1024**2
PAGES = ("text/html", "application/vnd.pypi.simple.")
ASKED = ("Accept", "Accept-Encoding", "If-Modified-Since", "If-None-Match", "Range")
ANSWERED = (
    *("Accept-Ranges", "Cache-Control", "Content-Range", "Content-Type", "ETag"),
    *("Last-Modified", "Location"),
)
HTTPS_ALONE = "Only https addresses are allowed."
OF_BYTES = ("Content-Encoding", "Content-Length")


class Forwarder:
    """The server while it runs. `proxy` is its address for uv, with a password of its own.
    `failure` is what went wrong first, for people; it matters when uv fails.
    """

    def __init__(self, indexes: Sequence[PackageIndex], *, networks: tuple[str, ...]) -> None:
        self.indexes = {host_of(one): one for one in indexes}
        self.networks = networks
        self.failure: DataPlaneError | None = None
        password = secrets.token_urlsafe(24)
        pair = base64.b64encode(f"portal:{password}".encode()).decode()
        self.authorization = f"Basic {pair}"
        self.server = _Server(("127.0.0.1", 0), type("_Of", (_Handler,), {"forwarder": self}))
        self.proxy = f"http://portal:{password}@127.0.0.1:{self.server.server_port}"

    def note(self, failure: DataPlaneError) -> None:
        self.failure = self.failure or failure


@contextmanager
def forwarding(
    indexes: Sequence[PackageIndex], *, networks: tuple[str, ...]
) -> Iterator[Forwarder]:
    """Run a forwarder. `networks` are those that the operator allows besides public and private
    ones.
    """
    forwarder = Forwarder(indexes, networks=networks)
    thread = threading.Thread(target=forwarder.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield forwarder
    finally:
        forwarder.server.shutdown()
        forwarder.server.server_close()
        thread.join()


def host_of(index: PackageIndex) -> str:
    """Return the host that uv knows an index by. No network has it (RFC 6761)."""
    return f"{index.key}.index.invalid"


def origin_of(index: PackageIndex) -> str:
    """Return scheme, host and port of an index."""
    parts = urlsplit(index.url)
    return f"{parts.scheme}://{parts.netloc}"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: uv ends connections as it likes."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection of uv."""

    forwarder: Forwarder
    protocol_version = "HTTP/1.1"
    timeout = READ_SECONDS

    def setup(self) -> None:
        super().setup()
        self.sessions: dict[str, requests.Session] = {}

    def finish(self) -> None:
        for session in self.sessions.values():
            session.close()
        super().finish()

    def log_message(self, format: str, *arguments: object) -> None:
        """Write no log: what failed is noted."""

    def do_GET(self) -> None:
        self._forward()

    def do_HEAD(self) -> None:
        self._forward()

    def do_CONNECT(self) -> None:
        if not self._is_from_uv():
            return
        host, _, port = self.path.rpartition(":")
        try:
            sock = _connected(host.strip("[]"), int(port), self.forwarder.networks)
        except (PortalError, OSError, ValueError) as error:
            self.forwarder.note(_not_reached(host, error))
            self._refuse(403)
            return
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with sock:
            _relay(self.connection, sock)

    def _forward(self) -> None:
        if not self._is_from_uv():
            return
        host = urlsplit(self.path).netloc
        index = self.forwarder.indexes.get(host)
        if index is None:
            self.forwarder.note(_not_reached(host, PortalError(HTTPS_ALONE)))
            self._refuse(403)
            return
        try:
            with self._asked(index) as response:
                self._answer(index, response)
        except (PortalError, requests.RequestException) as error:
            self.forwarder.note(_failed(index, error))
            self._refuse(403)

    def _is_from_uv(self) -> bool:
        """Refuse all others on this machine: they have no part in the credentials."""
        given = self.headers.get("Proxy-Authorization", "")
        if hmac.compare_digest(given.encode(), self.forwarder.authorization.encode()):
            return True
        self._refuse(407)
        return False

    def _asked(self, index: PackageIndex) -> requests.Response:
        parts = urlsplit(self.path)
        query = f"?{parts.query}" if parts.query else ""
        headers = {name: self.headers[name] for name in ASKED if name in self.headers}
        return self._session(index).request(
            self.command,
            f"{origin_of(index)}{parts.path}{query}",
            headers=headers,
            auth=(index.user, index.password) if index.password else None,
            allow_redirects=False,
            stream=True,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        )

    def _session(self, index: PackageIndex) -> requests.Session:
        if index.key not in self.sessions:
            session = self.sessions[index.key] = requests.Session()
            reach = Reach(
                networks=self.forwarder.networks,
                setting=SETTING,
                allows_http=False,
                ca=index.ca_certificate,
            )
            guard_session(session, reach)
        return self.sessions[index.key]

    def _answer(self, index: PackageIndex, response: requests.Response) -> None:
        if response.status_code in (401, 403):
            self.forwarder.note(_refused(index, response.status_code))
        found = response.headers
        headers = {name: found[name] for name in ANSWERED if name in found}
        if "Location" in headers:
            headers["Location"] = _for_uv(index, headers["Location"].encode()).decode()
        if self.command == "GET" and headers.get("Content-Type", "").startswith(PAGES):
            page = _for_uv(index, _read_page(response))
            self._begin(response.status_code, {**headers, "Content-Length": str(len(page))})
            self.wfile.write(page)
            return
        self._begin(
            response.status_code,
            {**headers, **{name: found[name] for name in OF_BYTES if name in found}},
        )
        if self.command == "GET":
            self._stream(index, response)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()

    def _stream(self, index: PackageIndex, response: requests.Response) -> None:
        try:
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                self.wfile.write(chunk)
        except HTTPError as error:
            # uv sees a body that is too short, and tries again.
            self.forwarder.note(_failed(index, error))
            self.close_connection = True

    def _refuse(self, status: int) -> None:
        self._begin(status, {"Content-Length": "0"})


def _connected(host: str, port: int, networks: tuple[str, ...]) -> socket.socket:
    found = allowed_addresses(host=host, port=port, networks=networks, setting=SETTING)
    return connect(found, port=port, seconds=CONNECT_SECONDS)


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until a side ends, or both are silent for too long."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, (one, other))
        selector.register(other, selectors.EVENT_READ, (other, one))
        while ready := selector.select(READ_SECONDS):
            for key, _ in ready:
                source, target = key.data
                content = source.recv(CHUNK_BYTES)
                if not content:
                    return
                target.sendall(content)


def _read_page(response: requests.Response) -> bytes:
    content = b""
    for chunk in response.iter_content(CHUNK_BYTES):
        content += chunk
        if len(content) > MOST_PAGE_BYTES:
            raise requests.exceptions.ContentDecodingError
    return content


def _for_uv(index: PackageIndex, text: bytes) -> bytes:
    """Lead links to the index through here."""
    return text.replace(f"{origin_of(index)}/".encode(), f"http://{host_of(index)}/".encode())


def _failed(index: PackageIndex, error: Exception) -> DataPlaneError:
    if isinstance(error, AddressRefused):
        return Permanent(f"The package index {index.name} is not asked: {error.message}")
    if isinstance(error, PortalError):
        return Temporary(f"The package index {index.name} is not found. {error.message}")
    if isinstance(error, requests.exceptions.SSLError):
        return Permanent(
            f"The certificate of the package index {index.name} is not trusted. Enter the CA "
            "certificate of the index."
        )
    return Temporary(f"The package index {index.name} does not answer. Try it again later.")


def _refused(index: PackageIndex, status: int) -> Permanent:
    if not index.password:
        return Permanent(
            f"The package index {index.name} asks for a user and a password (status {status}). "
            "Enter them."
        )
    return Permanent(
        f"The package index {index.name} refuses its user and password (status {status}). Enter "
        "others."
    )


def _not_reached(host: str, error: Exception) -> DataPlaneError:
    if isinstance(error, PortalError):
        return Permanent(f"Packages lie at {host[:253]}, which is not asked: {error.message}")
    return Temporary(f"Packages lie at {host[:253]}, which does not answer. Try it again later.")
