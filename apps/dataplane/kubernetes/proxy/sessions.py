"""Pooled connections of the gateway to the APIs of clusters, one pool for each Connection."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from types import TracebackType

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.connector import AddrInfoType

from apps.dataplane.edge.passing import NOT_ADDED
from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.addresses import why_refused
from apps.dataplane.kubernetes.api.tls import tls_context
from apps.dataplane.kubernetes.config import Connection

CONNECTIONS_OF_A_CLUSTER = 500
# Shorter than the idle timeout of load balancers before API servers, so that a request seldom
# meets a connection that was just closed.
KEPT_SECONDS = 15.0
UNUSED_SECONDS = 600.0
# Connecting includes TLS, and waiting for a free slot of the pool.
TIMEOUT = ClientTimeout(total=None, connect=10, sock_connect=5, sock_read=300)


@dataclass
class _Kept:
    session: ClientSession
    users: int = 0
    used_at: float = 0.0


class Sessions:
    """Pools by connection. The pool of a replaced credential is closed when idle."""

    def __init__(self) -> None:
        self._kept: dict[Connection, _Kept] = {}

    @asynccontextmanager
    async def of(self, connection: Connection) -> AsyncIterator[ClientSession]:
        """Yield the pool of a connection. Raises DataPlaneError for one that may not be used."""
        await self._close_unused()
        kept = self._kept.get(connection)
        if kept is None:
            kept = self._kept[connection] = _Kept(_session(connection))
        kept.users += 1
        try:
            yield kept.session
        finally:
            kept.users -= 1
            kept.used_at = monotonic()

    async def __aenter__(self) -> "Sessions":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._kept:
            await self._kept.popitem()[1].session.close()

    async def _close_unused(self) -> None:
        oldest = monotonic() - UNUSED_SECONDS
        unused = [
            connection
            for connection, kept in self._kept.items()
            if not kept.users and kept.used_at < oldest
        ]
        for connection in unused:
            await self._kept.pop(connection).session.close()


def _session(connection: Connection) -> ClientSession:
    return ClientSession(
        connector=TCPConnector(
            ssl=tls_context(connection),
            socket_factory=_socket_factory(connection.networks),
            limit=CONNECTIONS_OF_A_CLUSTER,
            keepalive_timeout=KEPT_SECONDS,
        ),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        timeout=TIMEOUT,
        skip_auto_headers=NOT_ADDED,
        trust_env=False,
    )


def _socket_factory(
    networks: tuple[str, ...] | None,
) -> Callable[[AddrInfoType], socket.socket]:
    """Return a factory of sockets to allowed addresses only, however names were resolved."""

    def open_socket(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = address
        reason = why_refused(str(place[0]), networks=networks) if networks is not None else ""
        if reason:
            raise Permanent(reason)
        return socket.socket(family, kind, protocol)

    return open_socket
