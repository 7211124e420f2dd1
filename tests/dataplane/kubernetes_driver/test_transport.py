"""The guards of the transport, against a server that does what a test says, byte by byte."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.core.certificates import ca_ends_at
from apps.dataplane.errors import DataPlaneError, Permanent, Unreachable
from apps.dataplane.kubernetes.api import transport as module
from apps.dataplane.kubernetes.api.tls import CertificateRefused
from apps.dataplane.kubernetes.api.transport import ConnectionEnded, Transport
from apps.dataplane.kubernetes.config import Connection
from tests.kubernetes.certificates import Authority, with_an_extension_twice

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Said: Yes\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\n{}"


class Server:
    """Answers the n-th request with the n-th script; counts connections, keeps what it read."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority("transport")
        self._folder = folder
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.shows_certificate_of(self.authority)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.connections = 0
        self.scripts: list[Callable[[ssl.SSLSocket], object]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connection(self) -> Connection:
        port = self._listener.getsockname()[1]
        certificate = self.authority.certificate
        return Connection(server=f"https://127.0.0.1:{port}", ca_certificate=certificate, token="t")

    def answers(self, *scripts: bytes | Callable[[ssl.SSLSocket], object]) -> None:
        self.scripts += [
            one if callable(one) else (lambda sock, data=one: sock.sendall(data)) for one in scripts
        ]

    def shows_certificate_of(self, authority: Authority) -> None:
        signed = authority.server("127.0.0.1")
        file = self._folder / "server.pem"
        file.write_text(signed.certificate + signed.key)
        self._context.load_cert_chain(file)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as sock:
                self.connections += 1
                while request := _request(sock):
                    self.requests.append(request)
                    if self.scripts.pop(0)(sock) == "close":
                        return
        except (OSError, IndexError):
            return
        finally:
            plain.close()


def _request(sock: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(x[16:]) for x in head.split(b"\r\n") if x.startswith(b"Content-Length")), 0)
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def trickling(beginning: bytes) -> Callable[[ssl.SSLSocket], object]:
    """Send a beginning and then a byte now and then, each soon enough for a socket's timeout."""

    def script(sock: ssl.SSLSocket) -> str:
        sock.sendall(beginning)
        for _ in range(100):
            sock.sendall(b"a")
            time.sleep(0.05)
        return "close"

    return script


def ending(data: bytes) -> Callable[[ssl.SSLSocket], object]:
    def script(sock: ssl.SSLSocket) -> str:
        sock.sendall(data)
        return "close"

    return script


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


@pytest.fixture
def transport(server: Server) -> Iterator[Transport]:
    transport = Transport(server.connection)
    yield transport
    transport.close()


def test_a_request_and_its_answer(server: Server, transport: Transport) -> None:
    server.answers(OK)

    answer = transport.request(
        "PATCH", "/x", query={"a": "b c"}, headers={"Accept": "c/d"}, body=b"{1}", seconds=5
    )

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert (answer.status, answer.body, answer.headers["x-said"]) == (200, b"{}", "Yes")
    assert body == b"{1}"
    assert head.split(b"\r\n")[0] == b"PATCH /x?a=b+c HTTP/1.1"
    assert set(head.split(b"\r\n")[1:]) == {
        b"Host: " + transport.host.encode(),
        b"User-Agent: astro-portal",
        b"Accept-Encoding: identity",
        b"Authorization: Bearer t",
        b"Accept: c/d",
        b"Content-Length: 3",
    }


def test_one_connection_serves_many_requests(server: Server, transport: Transport) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    server.answers(OK, chunked, b"HTTP/1.1 204 No Content\r\n\r\n", OK)

    bodies = [transport.request("GET", "/x", seconds=5).body for _ in range(4)]

    assert bodies == [b"{}", b"{}", b"", b"{}"]
    assert server.connections == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(
    server: Server, transport: Transport
) -> None:
    last = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
    server.answers(ending(OK), last, OK)
    transport.request("GET", "/x", seconds=5)
    time.sleep(0.2)

    assert transport.request("GET", "/x", seconds=5).body == b"{}"
    assert server.connections == 2
    assert transport.request("GET", "/x", seconds=5).body == b"{}"
    assert server.connections == 3


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        HEAD + b"X-Long: ",
        HEAD + b"Content-Length: 5000\r\n\r\n",
        HEAD + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["status", "header", "body", "body without length", "size of a chunk"],
)
def test_an_answer_that_trickles_ends_at_the_deadline(
    server: Server, transport: Transport, beginning: bytes
) -> None:
    server.answers(trickling(beginning))
    began = time.monotonic()

    with pytest.raises(Unreachable, match="did not answer in time"):
        transport.request("GET", "/x", seconds=0.4)

    assert 0.3 < time.monotonic() - began < 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 2",
        HEAD + b"Content-Length: 5000\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5000\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["nothing", "status", "body", "chunk", "no HTTP"],
)
def test_an_answer_that_ends_early_is_none(
    server: Server, transport: Transport, data: bytes
) -> None:
    server.answers(ending(data), OK)

    with pytest.raises(ConnectionEnded):
        transport.request("GET", "/x", seconds=5)

    assert transport.request("GET", "/x", seconds=5).body == b"{}"


LARGE = b"a" * 9000


@pytest.mark.parametrize(
    "script",
    [HEAD + b"Content-Length: 9000\r\n\r\n" + LARGE, ending(HEAD + b"\r\n" + LARGE)],
    ids=["of a length", "of no length"],
)
def test_an_answer_larger_than_the_limit_is_refused(
    server: Server,
    transport: Transport,
    script: bytes | Callable[[ssl.SSLSocket], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LARGEST_ANSWER", 1000)
    server.answers(script, OK)

    with pytest.raises(Permanent, match="more data than the portal accepts"):
        transport.request("GET", "/x", seconds=5)

    # What is left of it does not become the next answer.
    assert transport.request("GET", "/x", seconds=5).body == b"{}"
    assert server.connections == 2


def test_a_redirect_is_an_answer_and_is_not_followed(server: Server, transport: Transport) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    server.answers(moved)

    assert transport.request("GET", "/x", seconds=5).status == 302
    assert len(server.requests) == 1


def test_no_header_adds_another(transport: Transport) -> None:
    with pytest.raises(ValueError, match="one line"):
        transport.request("GET", "/x", headers={"Accept": "a\r\nX-Remote-User: admin"}, seconds=5)


def test_what_does_not_belong_into_an_address_is_escaped(
    server: Server, transport: Transport
) -> None:
    server.answers(OK)

    transport.request("GET", "/x HTTP/1.1\r\nA: é", seconds=5)

    assert server.requests[0].startswith(b"GET /x%20HTTP/1.1%0D%0AA:%20%C3%A9 HTTP/1.1\r\nHost: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ca_certificate": Authority("another").certificate}, "did not sign"),
        ({"tls_server_name": "other.example.org"}, "did not sign"),
        ({"networks": ()}, "PORTAL_CLUSTER_NETWORKS"),
    ],
    ids=["authority", "name", "address"],
)
def test_it_talks_only_to_the_server_that_was_meant(
    server: Server, changes: dict, message: str
) -> None:
    transport = Transport(replace(server.connection, **changes))

    with pytest.raises(DataPlaneError, match=message):
        transport.request("GET", "/x", seconds=5)

    assert server.requests == []


def test_a_ca_that_has_ended_is_said_with_what_to_do(server: Server) -> None:
    ended = Authority("transport", lasts=timedelta(minutes=-1))
    server.shows_certificate_of(ended)
    transport = Transport(replace(server.connection, ca_certificate=ended.certificate))

    with pytest.raises(CertificateRefused, match="registered with ended on .* gives the new one"):
        transport.request("GET", "/x", seconds=5)


def test_an_ended_ca_beside_its_successor_does_no_harm(server: Server) -> None:
    ended = Authority("transport", lasts=timedelta(minutes=-1)).certificate
    both = ended + server.authority.certificate
    server.answers(OK)

    transport = Transport(replace(server.connection, ca_certificate=both))

    assert transport.request("GET", "/x", seconds=5).status == 200
    ends_at = ca_ends_at(both)
    assert ends_at is not None
    assert ends_at == ca_ends_at(server.authority.certificate)
    assert ends_at > datetime.now(UTC)


def test_a_certificate_that_signs_nothing_does_not_prolong_a_ca() -> None:
    ca = Authority("short", lasts=timedelta(hours=1))
    leaf = ca.server("127.0.0.1").certificate

    assert ca_ends_at(leaf + ca.certificate) == ca_ends_at(ca.certificate)
    assert ca_ends_at(leaf) is not None, "all that is trusted"


def test_a_forged_certificate_ends_like_any_other() -> None:
    ends_at = ca_ends_at(with_an_extension_twice())

    assert ends_at is not None
    assert ends_at > datetime.now(UTC)


@pytest.mark.parametrize("text", ["", "none", "-----BEGIN CERTIFICATE-----\nZ2Fy\n", "\ud800"])
def test_of_what_is_no_certificate_no_end_is_known(text: str) -> None:
    assert ca_ends_at(text) is None


def test_no_proxy_comes_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    server.answers(OK)

    assert Transport(server.connection).request("GET", "/x", seconds=5).status == 200


def test_a_server_that_takes_no_connections(server: Server) -> None:
    transport = Transport(replace(server.connection, server="https://127.0.0.1:1"))

    with pytest.raises(Unreachable, match="does not accept connections"):
        transport.request("GET", "/x", seconds=5)


def test_a_stream_goes_on_until_it_is_silent(server: Server, transport: Transport) -> None:
    def script(sock: ssl.SSLSocket) -> str:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(6):
            sock.sendall(b"1\r\na\r\n")
            time.sleep(0.1)
        time.sleep(2)
        return "close"

    server.answers(script)

    with transport.stream("/x", silence_seconds=0.4) as stream:
        chunks = stream.chunks()
        assert b"".join(next(chunks) for _ in range(6)) == b"aaaaaa"
        with pytest.raises(Unreachable, match="did not answer in time"):
            next(chunks)


def test_a_stream_ends_when_another_thread_closes_it(server: Server, transport: Transport) -> None:
    def script(sock: ssl.SSLSocket) -> None:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")

    server.answers(script)
    began = time.monotonic()

    with transport.stream("/x", silence_seconds=30) as stream:
        threading.Timer(0.2, stream.close).start()
        with pytest.raises(Unreachable):
            list(stream.chunks())

    assert time.monotonic() - began < 5


def test_what_fails_while_a_stream_is_read_stays_what_it_is(
    server: Server, transport: Transport
) -> None:
    server.answers(HEAD + b"\r\n")

    with (
        pytest.raises(FileNotFoundError),
        transport.stream("/x", silence_seconds=5),
    ):
        raise FileNotFoundError
