"""Clients that send slowly, or stand still, leave threads of the web server to others."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dataplane.world import eventually

pytestmark = pytest.mark.slow

THREADS = 2
WORKER = "tests.local.slow_clients.ImpatientWorker"
BEGINNINGS = {
    "headers": b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"]
        command += ["--worker-class", WORKER, "--threads", str(THREADS), "--no-control-socket"]
        command += ["--worker-tmp-dir", str(tmp_path_factory.mktemp("web"))]
        process = subprocess.Popen(
            [*command, "tests.local.slow_clients:application"],
            pass_fds=[listener.fileno()],
            cwd=Path(__file__).parents[2],
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait(20)


def ask(port: int, body: bytes = b"", *, seconds: float = 10) -> bytes:
    with socket.create_connection(("127.0.0.1", port), seconds) as client:
        head = f"POST / HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        client.sendall(head + body)
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    return answer


@pytest.mark.parametrize("where", BEGINNINGS)
@pytest.mark.parametrize("is_silent", [False, True], ids=["drips", "stands still"])
def test_slow_clients_do_not_keep_others_waiting(port: int, where: str, is_silent: bool) -> None:
    assert b" 200 " in ask(port)
    ended = threading.Event()
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(THREADS)]
    for client in slow:
        client.sendall(BEGINNINGS[where])

    def drip() -> None:
        while not ended.wait(0.1):
            for client in slow:
                try:
                    client.send(b"x")
                except OSError:
                    return

    if not is_silent:
        threading.Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    answer = ask(port)
    ended.set()

    assert b" 200 " in answer
    assert time.monotonic() - began < 8
    for client in slow:
        eventually(lambda client=client: is_over(client), seconds=5, every=0.1)
        client.close()


def rest_of(client: socket.socket, end: bytes) -> bytes:
    answer = b""
    while not answer.endswith(end) and (piece := client.recv(65_536)):
        answer += piece
    return answer


def is_over(client: socket.socket) -> bool:
    """Return whether the server has ended a connection."""
    client.settimeout(0.2)
    try:
        return client.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_a_large_body_has_the_time_that_it_takes(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST / HTTP/1.0\r\nContent-Length: 60000\r\n\r\n")
        for _ in range(6):
            time.sleep(0.4)
            client.sendall(b"x" * 10_000)
        answer = rest_of(client, b"60000")

    assert b" 200 " in answer
    assert answer.endswith(b"60000")


def test_a_connection_that_is_kept_has_the_whole_time_again(port: int) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        for _ in range(3):
            client.sendall(request)
            assert b" 200 " in rest_of(client, b"0\r\n\r\n")
            time.sleep(0.7)
