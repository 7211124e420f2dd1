"""Requests to servers that people name: to allowed addresses alone, small, quick, no redirects.

People configure the address, so it could be any host that the portal can reach. The name is looked
up once and the connection goes to the address that was checked. A deadline holds for the whole
exchange: a server that answers byte by byte is cut off.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from apps.core.errors import PortalError
from apps.core.outbound.addresses import AddressRefused, NameUnknown, allowed_addresses, connect

CONNECT_SECONDS = 3.0
CHUNK_BYTES = 16 * 1024
LONGEST_URL = 2000
HEADERS = {"Content-Type": "application/json", "User-Agent": "astro-portal"}


def parts_of_address(url: str, *, allows_http: bool) -> SplitResult | None:
    """Return the parts of an address, None if it is not one that requests can be sent to. Where it
    leads is checked when that is done.
    """
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or 0 < parts.port < 65_536
    except ValueError:
        return None
    allowed = ("https", "http") if allows_http else ("https",)
    is_plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST_URL
    is_good = parts.scheme in allowed and parts.hostname and is_plain and port_is_good
    return parts if is_good else None


class ExchangeFailed(PortalError):
    """No answer came. The message says why, in words for whoever configured the address."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What may be reached: `networks` besides public and private ones, named in `setting`; private
    ones are not where `is_public_only`. `ca` is a certificate that is trusted besides the public
    ones, in PEM.
    """

    networks: tuple[str, ...]
    setting: str
    allows_http: bool
    ca: str = ""
    is_public_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What one exchange may reach, take and bring."""

    reach: Reach
    seconds: float
    most_bytes: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status, the beginning of the body, and the headers."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def post(url: str, *, body: bytes, headers: Mapping[str, str], guard: Guard) -> Answer:
    """Send JSON to an address and return what it answers, whatever the status.

    Raises ExchangeFailed: the address is refused, nothing answers, or not within the seconds.
    """
    return request("POST", url, body=body, headers={**HEADERS, **headers}, guard=guard)


def get(url: str, *, headers: Mapping[str, str], guard: Guard) -> Answer:
    """Return what an address answers, whatever the status; a redirect is an answer, too.

    Raises ExchangeFailed as `post` does.
    """
    sent = {"User-Agent": HEADERS["User-Agent"], **headers}
    return request("GET", url, body=None, headers=sent, guard=guard)


def delete(url: str, *, headers: Mapping[str, str], guard: Guard) -> Answer:
    """Ask an address to delete what it names, and return what it answers; as `get` does."""
    sent = {"User-Agent": HEADERS["User-Agent"], **headers}
    return request("DELETE", url, body=None, headers=sent, guard=guard)


def request(
    method: str, url: str, *, body: bytes | None, headers: Mapping[str, str], guard: Guard
) -> Answer:
    """Send exactly these headers by any method; return and raise as `get` does."""
    cutter = _Cutter(guard)
    try:
        with requests.Session() as session:
            guard_session(session, guard.reach, opened=cutter.watch)
            response = session.request(
                method,
                url,
                data=body,
                headers=dict(headers),
                allow_redirects=False,
                stream=True,
                timeout=(CONNECT_SECONDS, guard.seconds),
            )
            if cutter.is_over:
                # To the client, headers that were cut off end there.
                raise requests.Timeout
            content = _beginning(response, guard)
    except requests.RequestException as error:
        raise ExchangeFailed(_reason(error, cutter, guard)) from None
    except (AddressRefused, NameUnknown) as error:
        raise ExchangeFailed(error.message) from None
    finally:
        cutter.end()
    return Answer(status=response.status_code, body=content, headers=dict(response.headers))


class _Cutter:
    """Ends connections when the time is over."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.is_over = False
        self._doubles: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(guard.seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, sock: socket.socket) -> None:
        sock.settimeout(self.guard.seconds)
        # TLS takes the socket over; a double of it ends the same connection.
        double = socket.socket(fileno=os.dup(sock.fileno()))
        with self._lock:
            self._doubles.append(double)
            is_over = self.is_over
        if is_over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.is_over = True
            for double in self._doubles:
                with suppress(OSError):
                    double.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            for double in self._doubles:
                double.close()
            self._doubles.clear()


class _Checked:
    """A connection to an address that was checked. The class of each adapter says which may be."""

    reach: Reach
    opened: Callable[[socket.socket], None]
    host: str
    port: int

    def _new_conn(self) -> socket.socket:
        found = allowed_addresses(
            host=self.host,
            port=self.port,
            networks=self.reach.networks,
            setting=self.reach.setting,
            is_public_only=self.reach.is_public_only,
        )
        sock = connect(found, port=self.port, seconds=CONNECT_SECONDS)
        self.opened(sock)
        return sock


class _CheckedAdapter(HTTPAdapter):
    def __init__(self, reach: Reach, opened: Callable[[socket.socket], None]) -> None:
        self._reach, self._opened = reach, opened
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._reach.ca:
            # Beside the public ones, which requests adds to every context.
            kwargs["ssl_context"] = context = create_urllib3_context()
            context.load_verify_locations(cadata=self._reach.ca)
        super().init_poolmanager(*args, **kwargs)
        mine = {"reach": self._reach, "opened": staticmethod(self._opened)}
        http = type("HTTP", (_Checked, HTTPConnection), mine)
        https = type("HTTPS", (_Checked, HTTPSConnection), mine)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("HTTPPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
            "https": type("HTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
        }


def guard_session(
    session: requests.Session,
    reach: Reach,
    *,
    opened: Callable[[socket.socket], None] = lambda sock: None,
) -> None:
    """Let a session reach nothing else, by no proxy. `opened` is called with each connection.

    Requests then also raise AddressRefused and NameUnknown.
    """
    session.trust_env = False
    session.adapters.clear()
    adapter = _CheckedAdapter(reach, opened)
    session.mount("https://", adapter)
    if reach.allows_http:
        session.mount("http://", adapter)


def _beginning(response: requests.Response, guard: Guard) -> bytes:
    content = bytearray()
    deadline = time.monotonic() + guard.seconds
    for chunk in response.iter_content(CHUNK_BYTES):
        content += chunk
        if len(content) >= guard.most_bytes or time.monotonic() > deadline:
            break
    response.close()
    return bytes(content[: guard.most_bytes])


def _reason(error: requests.RequestException, cutter: _Cutter, guard: Guard) -> str:
    if cutter.is_over or isinstance(error, requests.Timeout):
        return f"It did not answer within {guard.seconds:.0f} seconds."
    if isinstance(error, requests.exceptions.SSLError):
        return "Its TLS certificate is not valid."
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "Only https addresses are allowed."
    return "Nothing accepts connections there, or the connection was cut."
