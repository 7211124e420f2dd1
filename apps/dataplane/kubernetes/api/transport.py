"""Bytes to and from a Kubernetes API: the only module that knows the official client.

It uses the client's connection layer and not its models, which cost many times the CPU. TLS is
always verified, redirects are not followed, proxies of the environment are ignored, and every call
has a deadline for its whole response, so a trickling server gains nothing.
"""

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject

from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.kubernetes.api import deadlines
from apps.dataplane.kubernetes.api.addresses import allowed_addresses
from apps.dataplane.kubernetes.api.tls import tls_context
from apps.dataplane.kubernetes.config import Connection

CONNECT_SECONDS = 3.0
POOL_SIZE = 16
CHUNK_BYTES = 65536
LARGEST_ANSWER = 64 * 1024 * 1024
LARGEST_ERROR = 256 * 1024


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

    def __init__(self, response: urllib3.BaseHTTPResponse, host: str) -> None:
        self.status = response.status
        self._response = response
        self._host = host

    def chunks(self) -> Iterator[bytes]:
        """Yield what arrives as it arrives. Raises Unreachable when nothing does for too long."""
        try:
            while chunk := self._response.read1(CHUNK_BYTES):
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise unreachable(error, self._host) from None

    def close(self) -> None:
        """End the stream."""
        try:
            self._response.shutdown()
        except (OSError, RuntimeError, ValueError):
            return


class Transport:
    """One connection pool to one cluster, in one process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.host = urlsplit(connection.server).netloc
        self._root = urlsplit(connection.server).path.rstrip("/")
        self._pool = _pool(connection)

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
        """Send one request and read its whole response within `seconds`. Raises Unreachable."""
        deadline = time.monotonic() + seconds
        try:
            response = self._open(method, path, query, headers, body, read_seconds=seconds)
            try:
                data = _read(response, deadline)
            except BaseException:
                # The rest of the response must not reach the next request.
                response.close()
                raise
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self.host) from None
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
        """Open a streaming response; more than `silence_seconds` without a byte end it."""
        try:
            response = self._open("GET", path, query, headers, None, read_seconds=silence_seconds)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self.host) from None
        try:
            yield Stream(response, self.host)
        finally:
            response.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        *,
        read_seconds: float,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self._root}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        all_headers = {"User-Agent": "astro-portal", **(headers or {})}
        if self._connection.token:
            all_headers["Authorization"] = f"Bearer {self._connection.token}"
        return self._pool.urlopen(
            method,
            url,
            body=body,
            headers=all_headers,
            timeout=urllib3.Timeout(
                connect=min(CONNECT_SECONDS, read_seconds), read=max(read_seconds, 0.1)
            ),
            redirect=False,
            retries=False,
            preload_content=False,
        )


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


def unreachable(error: Exception, host: str) -> DataPlaneError:
    """Return why there was no response; the message holds nothing of the request."""
    if isinstance(error, DataPlaneError):
        return error
    where = f"The cluster's API at {host}"
    cause = error.__cause__ or error
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "match" in text and isinstance(cause, ssl.SSLError):
        return Unreachable(
            f"{where} shows a certificate that the registered CA does not vouch for."
        )
    if isinstance(error, urllib3.exceptions.SSLError) or isinstance(cause, ssl.SSLError):
        return Unreachable(f"{where} and the portal do not agree on TLS.")
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return Unreachable(f"The name of {where[0].lower()}{where[1:]} cannot be looked up.")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return Unreachable(f"{where} does not take connections.")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return Unreachable(f"{where} does not take connections (no answer in time).")
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)):
        return Unreachable(f"{where} did not answer in time.")
    return ConnectionEnded(f"{where} ended the connection without an answer.")


MOST_TRANSPORTS = 200
_transports: dict[Connection, Transport] = {}
_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _transports.clear()


os.register_at_fork(after_in_child=_after_fork)


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    limit = LARGEST_ERROR if response.status >= 400 else LARGEST_ANSWER
    pieces, size = [], 0
    while piece := _piece(response, deadline):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise Permanent("The cluster's API sent more than the portal reads at once.")
    return b"".join(pieces)


def _piece(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Read what has arrived, waiting at most until the deadline."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock = getattr(response.connection, "sock", None)
    if sock is not None:
        sock.settimeout(left)
    return response.read1(CHUNK_BYTES)


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
        # Narrower than urllib3's annotation: this class returns its own type.
        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            seconds = self.timeout if isinstance(self.timeout, (int, float)) else CONNECT_SECONDS
            with deadlines.limit(self.sock, seconds) as limit:
                try:
                    return super().getresponse()
                except (OSError, http.client.HTTPException):
                    if limit.is_over:
                        raise TimeoutError from None
                    raise

        def _new_conn(self) -> socket.socket:
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
    """Connect to the first address that accepts; the name stays the one that TLS checks."""
    failure: Exception = OSError()
    for address in addresses:
        try:
            return urllib3.util.connection.create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except TimeoutError:
            failure = urllib3.exceptions.ConnectTimeoutError(connection, "timed out")
        except OSError:
            failure = urllib3.exceptions.NewConnectionError(connection, "refused")
    raise failure
