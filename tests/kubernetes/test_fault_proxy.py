"""The door passes everything on, unless a test said otherwise, and knows who went through."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from apps.dataplane.kubernetes.config import Connection
from tests.kubernetes.certificates import Authority
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.fault_proxy import FaultProxy, running_proxy, server_context
from tests.kubernetes.faults import (
    Answer,
    BlackHole,
    CutAfter,
    CutBefore,
    CutInside,
    Fault,
    GoneInStream,
    NoBookmarks,
    SilentWatch,
    Slow,
    Trickle,
)

EVENTS = [{"type": "ADDED", "object": {}}, {"type": "BOOKMARK", "object": {}}]


class Upstream(BaseHTTPRequestHandler):
    """Answers like an API server, as far as a door can tell."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        if "watch=1" in self.path:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in EVENTS:
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
            return
        self._answer(b'{"kind": "List"}')

    def do_PATCH(self) -> None:
        self.seen.append(self.path)
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def door(seen: list[str]) -> Iterator[FaultProxy]:
    authority = Authority("upstream")
    handler = type("Handler", (Upstream,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = server_context(authority).wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        connection = Connection(
            server=f"https://127.0.0.1:{server.server_port}", ca_certificate=authority.certificate
        )
        with running_proxy(connection) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


@contextmanager
def client_of(door: FaultProxy, seconds: float = 5) -> Iterator[http.client.HTTPSConnection]:
    context = ssl.create_default_context(cadata=door.connection.ca_certificate)
    address = door.connection.server.removeprefix("https://")
    client = http.client.HTTPSConnection(address, timeout=seconds, context=context)
    try:
        yield client
    finally:
        client.close()


def ask(door: FaultProxy, method: str, path: str, *, seconds: float = 5) -> tuple[int, bytes]:
    with client_of(door, seconds) as client:
        client.request(method, path, body=b'{"a": 1}' if method == "PATCH" else None)
        response = client.getresponse()
        return response.status, response.read()


def test_it_passes_requests_on_and_counts_them(door: FaultProxy, seen: list[str]) -> None:
    with client_of(door) as client:
        for _ in range(3):
            client.request("PATCH", "/api/v1/nodes/a?dryRun=All", body=b"body")
            assert client.getresponse().read() == b"body"

    assert ask(door, "GET", "/api/v1/pods") == (200, b'{"kind": "List"}')
    assert door.count("PATCH", "/nodes/") == len(seen) - 1 == 3
    assert door.writes() == []
    assert [call.status for call in door.calls_of("GET")] == [200]


def test_an_answer_is_given_as_often_as_asked_for(door: FaultProxy, seen: list[str]) -> None:
    door.fail(Answer(429, {"Retry-After": "7"}), method="PATCH", path="/nodes", times=1)

    assert ask(door, "PATCH", "/api/v1/pods/a")[0] == 200
    assert ask(door, "PATCH", "/api/v1/nodes/a")[0] == 429
    assert ask(door, "PATCH", "/api/v1/nodes/a")[0] == 200
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("fault", "was_done"), [(CutBefore(), False), (CutAfter(), True), (CutInside(), True)]
)
def test_a_cut_comes_before_or_after_the_deed(
    door: FaultProxy, seen: list[str], fault: Fault, was_done: bool
) -> None:
    door.fail(fault, times=1)

    with pytest.raises((http.client.HTTPException, OSError)):
        ask(door, "PATCH", "/api/v1/nodes/a")

    assert bool(seen) is was_done
    assert ask(door, "GET", "/api/v1/nodes")[0] == 200


def test_a_black_hole_takes_requests_and_never_answers(door: FaultProxy, seen: list[str]) -> None:
    door.fail(BlackHole())

    with pytest.raises(TimeoutError):
        ask(door, "GET", "/api/v1/nodes", seconds=0.2)

    assert seen == []
    door.heal()
    assert ask(door, "GET", "/api/v1/nodes")[0] == 200


@pytest.mark.parametrize("fault", [Slow(0.3), Trickle(0.02), Trickle(0.005, is_head_too=True)])
def test_a_slow_answer_is_right(door: FaultProxy, fault: Fault) -> None:
    door.fail(fault)
    started = time.monotonic()

    assert ask(door, "GET", "/api/v1/nodes") == (200, b'{"kind": "List"}')
    assert time.monotonic() - started > 0.25


@pytest.mark.parametrize(
    ("fault", "types"), [(Fault(), ["ADDED", "BOOKMARK"]), (NoBookmarks(), ["ADDED"])]
)
def test_bookmarks_are_left_out(door: FaultProxy, fault: Fault, types: list[str]) -> None:
    door.fail(fault, is_watch=True)

    _, body = ask(door, "GET", "/api/v1/pods?watch=1")

    assert [json.loads(line)["type"] for line in body.splitlines()] == types


def test_a_watch_is_told_that_its_beginning_is_forgotten(door: FaultProxy) -> None:
    door.fail(GoneInStream(), is_watch=True)

    _, body = ask(door, "GET", "/api/v1/pods?watch=1")

    assert json.loads(body)["object"]["code"] == 410


def test_a_silent_watch_stays_open(door: FaultProxy) -> None:
    door.fail(SilentWatch(), is_watch=True)

    with client_of(door, 0.3) as client:
        client.request("GET", "/api/v1/pods?watch=1")
        response = client.getresponse()

        with pytest.raises(TimeoutError):
            response.read(1)


def test_it_refuses_and_takes_connections_again(door: FaultProxy) -> None:
    door.refuse()

    with pytest.raises(ConnectionRefusedError):
        ask(door, "GET", "/api/v1/nodes")

    door.accept()
    assert ask(door, "GET", "/api/v1/nodes")[0] == 200


def test_another_certificate_is_not_the_one_that_was_trusted(door: FaultProxy) -> None:
    with client_of(door) as client:
        door.show_other_certificate()

        with pytest.raises(ssl.SSLCertVerificationError):
            client.request("GET", "/api/v1/nodes")


def test_a_real_watch_passes(control_plane: ControlPlane, faulty: FaultProxy, ref: str) -> None:
    headers = {"Authorization": f"Bearer {faulty.connection.token}"}
    with client_of(faulty) as client:
        client.request("GET", "/api/v1/namespaces?watch=1", headers=headers)
        response = client.getresponse()

        control_plane.create({"kind": "Namespace", "metadata": {"name": ref}})
        names = []
        while ref not in names:
            names.append(json.loads(response.readline())["object"]["metadata"]["name"])

    assert faulty.count("GET", "/namespaces") == 1
