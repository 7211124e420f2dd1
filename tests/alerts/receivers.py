"""Receivers of messages on this machine: HTTP in several moods."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What was received. `mood` is how the next requests are answered."""

    port: int = 0
    mood: str = "good"
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run an HTTP server on the loopback address."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.requests.append((self.path, headers, body))
            found.arrived.set()
            MOODS[found.mood](self)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _slow(handler: BaseHTTPRequestHandler) -> None:
    """Answer a byte of a header at a time, so that no wait for one is long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(600):
        try:
            handler.wfile.write(b"x")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.1)


def _vanish(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


MOODS = {
    "good": lambda handler: _answer(handler, 202, b"accepted"),
    "slack": lambda handler: _answer(handler, 200, b'{"ok": true, "ts": "1764.0001"}'),
    "slack-refusing": lambda handler: _answer(
        handler, 200, b'{"ok": false, "error": "not_in_channel"}'
    ),
    "slow": _slow,
    "redirect": lambda handler: _answer(
        handler, 302, b"", Location="http://169.254.169.254/latest/meta-data"
    ),
    "failing": lambda handler: _answer(
        handler, 503, b"<script>alert(1)</script>\x1b[31m" + b"x" * 9000, Retry_After="120"
    ),
    "repeating": lambda handler: _answer(
        handler, 500, f"no {handler.path} with {handler.headers['x-key']}".encode()
    ),
    "refusing": lambda handler: _answer(handler, 400, b"no such field"),
    "vanishing": _vanish,
}
