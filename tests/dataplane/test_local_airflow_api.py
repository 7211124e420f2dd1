"""What the local plane makes of an API server that lies: an answer, or one of its own errors."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from apps.dataplane.errors import Permanent, Unreachable
from apps.dataplane.local.airflow import api
from apps.dataplane.status import AirflowResponse

Serve = Callable[[bytes], int]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer one request on a port with exactly these bytes."""
    listeners = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        threading.Thread(target=respond, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def ask(port: int) -> AirflowResponse:
    return api.call(port=port, ref="x", method="GET", path="/api/v2/dags", timeout_seconds=5)


def test_an_answer_is_read(serve: Serve) -> None:
    found = ask(serve(HEAD + b'Content-Length: 8\r\n\r\n{"a": 1}'))

    assert (found.status, found.data) == (200, {"a": 1})


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 5\r\n\r\n<html",
        HEAD + b"Content-Length: 400000\r\n\r\n" + b"[" * 400_000,
        HEAD + b"Content-Length: 900\r\n\r\n{",
        HEAD + b"\r\n\xff\xfe",
        HEAD.replace(b"200 OK", b"500 No") + b"Content-Length: 9\r\n\r\n{",
    ],
)
def test_a_body_that_is_no_json_is_none(serve: Serve, answer: bytes) -> None:
    assert ask(serve(answer)).data is None


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"]
)
def test_what_is_no_http_is_no_answer(serve: Serve, answer: bytes) -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        ask(serve(answer))


def test_an_answer_has_a_largest_size(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LARGEST_ANSWER", 10)

    with pytest.raises(Permanent, match="more data than the portal accepts"):
        ask(serve(HEAD + b"\r\n" + b"x" * 50))


def test_an_answer_has_an_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LONGEST_SECONDS", -1)

    with pytest.raises(Unreachable):
        ask(serve(HEAD + b"\r\n" + b"x" * 50))
