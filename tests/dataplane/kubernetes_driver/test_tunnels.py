"""Through an HTTP proxy to a cluster: a small real proxy, and a server behind it with TLS."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from apps.dataplane.errors import DataPlaneError, Unreachable
from apps.dataplane.kubernetes.api.addresses import AddressRefused
from apps.dataplane.kubernetes.api.transport import Transport
from tests.dataplane.kubernetes_driver.test_transport import OK, Server, server

HERE = ("127.0.0.0/8",)
__all__ = ["server"]


class Proxy:
    """Takes CONNECT and passes bytes on; `answer` is what it says instead, if anything."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.asked: list[bytes] = []
        self.answer = b""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.asked.append(head)
        if self.answer:
            client.sendall(self.answer)
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as upstream:
            client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
            back = threading.Thread(target=self._pass_on, args=[upstream, client], daemon=True)
            back.start()
            self._pass_on(client, upstream)
            back.join(timeout=5)

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


def test_a_cluster_is_reached_through_the_proxy_and_checked_by_its_own_certificate(
    server: Server,  # noqa: F811
    proxy: Proxy,
) -> None:
    server.answers(OK, OK)
    through = replace(server.connection, proxy=proxy.url, networks=HERE, token="secret-token")
    transport = Transport(through)

    assert transport.request("GET", "/version", seconds=5).body == b"{}"
    assert transport.request("GET", "/version", seconds=5).body == b"{}"
    transport.close()

    address = server.connection.server.removeprefix("https://").encode()
    assert proxy.asked == [b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (address, address)]
    assert b"Bearer secret-token" in server.requests[0], "for the cluster alone"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", r"does not connect to .* \(407\)"),
        (b"HTTP/1.1 403 Forbidden\r\nX: y\r\n\r\n", r"does not connect to .* \(403\)"),
        (b"SSH-2.0-OpenSSH_9.7\r\n\r\n", "does not answer"),
        (b"HTTP/1.1 200 OK\r\n", "does not answer"),
        (b"HTTP/1.1 200 " + b"x" * 20_000, "does not answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "closed the connection|TLS version"),
    ],
)
def test_a_proxy_that_refuses_or_is_none_is_told_from_the_cluster(
    server: Server,  # noqa: F811
    proxy: Proxy,
    answer: bytes,
    message: str,
) -> None:
    proxy.answer = answer
    transport = Transport(replace(server.connection, proxy=proxy.url, networks=HERE))

    with pytest.raises(Unreachable, match=message):
        transport.request("GET", "/version", seconds=3)


def test_the_address_of_the_proxy_is_guarded_and_one_that_is_away_is_said(
    server: Server,  # noqa: F811
    proxy: Proxy,
) -> None:
    guarded = Transport(replace(server.connection, proxy=proxy.url, networks=()))
    with pytest.raises(AddressRefused, match="PORTAL_CLUSTER_NETWORKS"):
        guarded.request("GET", "/version", seconds=3)

    url = proxy.url
    proxy.close()
    away = Transport(replace(server.connection, proxy=url, networks=HERE))
    with pytest.raises(DataPlaneError, match=r"The proxy 127.0.0.1:\d+ does not"):
        away.request("GET", "/version", seconds=3)
    assert proxy.asked == []
