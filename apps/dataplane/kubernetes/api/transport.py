"""Bytes to and from a Kubernetes API, over connections that the official client's pool keeps.

A request is written in one piece and its answer read with the standard library: for both together
urllib3 takes twice the CPU. TLS is always checked, nothing is redirected, no proxy comes from the
environment, and every call has an end: its deadline holds for the whole answer, so a server that
trickles gains nothing. A proxy is on the way only where a cluster names one.
"""

import http.client
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from apps.core.outbound.addresses import connect
from apps.dataplane.clouds.tokens import token_for
from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.kubernetes.api import deadlines
from apps.dataplane.kubernetes.api.addresses import allowed_addresses
from apps.dataplane.kubernetes.api.tls import tls_context, untrusted
from apps.dataplane.kubernetes.api.tunnels import tunnel
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.official_client import Configuration, RESTClientObject

CONNECT_SECONDS = 3.0
POOL_SIZE = 16
CHUNK_BYTES = 65536
LARGEST_ANSWER = 64 * 1024 * 1024
LARGEST_ERROR = 256 * 1024
_FAILURES = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)
_NOT_IN_A_TARGET = re.compile(r"[^\x21-\x7e]")
_NOT_IN_A_HEADER = re.compile(r"[\x00\r\n]")
Lent = urllib3.connection.HTTPSConnection


class ConnectionEnded(Unreachable):
    """The other side closed the connection; an idle one may have been closed long ago."""


@dataclass(frozen=True)
class Answer:
    """Status, headers with lower-case names, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream:
    """A streaming response. `close` may be called from another thread: reading then ends."""

    def __init__(self, response: http.client.HTTPResponse, sock: socket.socket, host: str) -> None:
        self.status = response.status
        self._response = response
        self._sock = sock
        self._host = host

    def chunks(self) -> Iterator[bytes]:
        """Yield what arrives as it arrives. Raises Unreachable when nothing does for too long."""
        try:
            while chunk := self._response.read1(CHUNK_BYTES):
                yield chunk
        except (*_FAILURES, ValueError) as error:
            raise unreachable(error, self._host) from None

    def close(self) -> None:
        """End the stream."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


class Transport:
    """One connection pool to one cluster, in one process."""

    def __init__(self, connection: Connection) -> None:
        self.host = urlsplit(connection.server).netloc
        self._root = urlsplit(connection.server).path.rstrip("/")
        self._ca = connection.ca_certificate
        self._pool = _pool(connection)
        self._identity = connection.identity
        self._headers = {
            "Host": self.host,
            "User-Agent": "astro-portal",
            "Accept-Encoding": "identity",
        }
        if connection.token:
            self._headers["Authorization"] = f"Bearer {connection.token}"

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float,
    ) -> Answer:
        """Send one request and read its whole answer within `seconds`. Raises Unreachable."""
        message = self._message(method, path, query, headers, body)
        with self._opened(seconds) as (connection, sock):
            response = _ask(sock, method, message)
            data = _read(response)
        if response.will_close:
            connection.close()
        self._pool._put_conn(connection)
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, names, data)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        silence_seconds: float,
    ) -> Iterator[Stream]:
        """Open an answer that goes on; more than `silence_seconds` without a byte end it."""
        message = self._message("GET", path, query, headers, None)
        with self._opened(silence_seconds) as (connection, sock):
            response = _ask(sock, "GET", message)
        try:
            yield Stream(response, sock, self.host)
        finally:
            response.close()
            connection.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @contextmanager
    def _opened(self, seconds: float) -> Iterator[tuple[Lent, socket.socket]]:
        """Take a connection from the pool for an exchange of at most `seconds`.

        After one that failed it is closed: what is left of an answer must not reach the next
        request. Raises Unreachable.
        """
        connection: Lent | None = None
        limit: deadlines.Limit | None = None
        try:
            connection = cast(Lent, self._pool._get_conn())
            sock = _socket(connection, seconds)
            with deadlines.limit(sock, seconds) as limit:
                yield connection, sock
            if limit.is_over:
                raise TimeoutError
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, _FAILURES):
                raise
            failure = TimeoutError() if limit is not None and limit.is_over else error
            raise unreachable(failure, self.host, ca=self._ca) from None

    def _message(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
    ) -> bytes:
        """Return a request as it is sent. Raises ValueError for a header of more than one line,
        DataPlaneError while a cloud gives out no token.
        """
        target = f"{self._root}{path}?{urlencode(query)}" if query else f"{self._root}{path}"
        all_headers = {**self._headers, **(headers or {})}
        if self._identity is not None:
            all_headers["Authorization"] = f"Bearer {token_for(self._identity)}"
        if body is not None:
            all_headers["Content-Length"] = str(len(body))
        lines = [f"{name}: {value}" for name, value in all_headers.items()]
        if any(_NOT_IN_A_HEADER.search(line) for line in lines):
            raise ValueError("A header must be one line.")
        target = _NOT_IN_A_TARGET.sub(lambda found: quote(found.group()), target)
        head = "\r\n".join((f"{method} {target} HTTP/1.1", *lines, "", ""))
        return head.encode("latin-1") + (body or b"")


def transport_for(connection: Connection) -> Transport:
    """Return this process's pool for a connection. A forked process begins with none."""
    with _lock:
        transport = _transports.pop(connection, None) or Transport(connection)
        _transports[connection] = transport
        if len(_transports) > MOST_TRANSPORTS:
            del _transports[next(iter(_transports))]
        return transport


def forget(connection: Connection) -> None:
    """Close the pool of a connection that is not used any more."""
    with _lock:
        transport = _transports.pop(connection, None)
    if transport is not None:
        transport.close()


def unreachable(error: Exception, host: str, *, ca: str = "") -> DataPlaneError:
    """Return why there was no response; the message holds nothing of the request. `ca` has the
    certificates (PEM) that the connection trusts.
    """
    if isinstance(error, DataPlaneError):
        return error
    where = f"The cluster's API at {host}"
    cause = error.__cause__ or error
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "match" in text and isinstance(cause, ssl.SSLError):
        return untrusted(where, ca=ca)
    if isinstance(error, urllib3.exceptions.SSLError) or isinstance(cause, ssl.SSLError):
        return Unreachable(f"{where} and the portal cannot agree on a TLS version or cipher.")
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return Unreachable(f"The name of {where[0].lower()}{where[1:]} cannot be resolved.")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return Unreachable(f"{where} does not accept connections.")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return Unreachable(f"{where} does not accept connections (timeout).")
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)):
        return Unreachable(f"{where} did not answer in time.")
    return ConnectionEnded(f"{where} closed the connection without an answer.")


# As many as planes: of a sweep over more clusters than this, none finds its connections again.
MOST_TRANSPORTS = 500
_transports: dict[Connection, Transport] = {}
_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _transports.clear()


os.register_at_fork(after_in_child=_after_fork)


def _socket(connection: Lent, seconds: float) -> socket.socket:
    """Return the socket of a connection, which is opened anew if the other side closed it."""
    if connection.sock is None:
        connection.timeout = min(CONNECT_SECONDS, seconds)
        connection.connect()
    sock = cast(socket.socket, connection.sock)
    sock.settimeout(max(seconds, 0.1))
    return sock


def _ask(sock: socket.socket, method: str, message: bytes) -> http.client.HTTPResponse:
    # A server may refuse a request before it has read all of it.
    with suppress(BrokenPipeError):
        sock.sendall(message)
    response = http.client.HTTPResponse(sock, method=method)
    try:
        response.begin()
    except BaseException:
        response.close()
        raise
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    limit = LARGEST_ERROR if response.status >= 400 else LARGEST_ANSWER
    pieces, size = [], 0
    with response:
        while piece := response.read1(CHUNK_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise Permanent("The cluster's API sent more data than the portal accepts at once.")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _pool(connection: Connection) -> urllib3.HTTPConnectionPool:
    """Return the pool of the one host; a pool manager would look it up for every request."""
    # An empty proxy is a decision; None would let the environment decide.
    configuration = Configuration(host=connection.server, proxy="", no_proxy="*")
    configuration.verify_ssl = True
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = POOL_SIZE
    if connection.tls_server_name:
        configuration.tls_server_name = connection.tls_server_name
    pools: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
    pools.connection_pool_kw["ssl_context"] = tls_context(connection)
    pools.pool_classes_by_scheme = {"https": _pool_class(connection)}
    return pools.connection_from_url(connection.server)


def _pool_class(connection: Connection) -> Any:
    """Return a pool class whose connections go only where the operator allows."""

    class GuardedConnection(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            if connection.proxy:
                return tunnel(
                    connection.proxy,
                    host=self._dns_host,
                    port=self.port,
                    networks=connection.networks or (),
                    seconds=cast(float, self.timeout),
                )
            if connection.networks is None:
                return super()._new_conn()
            addresses = allowed_addresses(
                host=self._dns_host, port=self.port, networks=connection.networks
            )
            return _first_socket(self, addresses)

    class GuardedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = GuardedConnection

    return GuardedPool


def _first_socket(
    connection: urllib3.connection.HTTPSConnection, addresses: tuple[str, ...]
) -> socket.socket:
    """Connect with urllib3's errors; the name stays the one that TLS checks."""
    try:
        return connect(
            addresses,
            port=connection.port,
            seconds=cast(float, connection.timeout),
            socket_options=connection.socket_options or (),
        )
    except TimeoutError:
        raise urllib3.exceptions.ConnectTimeoutError(connection, "timed out") from None
    except OSError:
        raise urllib3.exceptions.NewConnectionError(connection, "refused") from None
