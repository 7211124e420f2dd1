"""Answers of an Airflow on this machine have an end, in bytes and in time."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from apps.dataplane.errors import Unreachable
from apps.dataplane.local.airflow import api


class Airflow(BaseHTTPRequestHandler):
    """It answers well at /ref/fine, with too much at /ref/much, and byte by byte at /ref/slow."""

    def do_GET(self) -> None:
        status = 503 if self.path.endswith("failed") else 200
        self.send_response(status)
        self.end_headers()
        if self.path.endswith("slow"):
            self._drip()
        else:
            size = 5000 if self.path.endswith("much") else 10
            self.wfile.write(b'"' + b"x" * size + b'"')

    def _drip(self) -> None:
        for _ in range(200):
            try:
                self.wfile.write(b" ")
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Airflow) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server.server_port
        server.shutdown()


def ask(port: int, path: str) -> object:
    return api.call(port=port, ref="ref", method="GET", path=path, timeout_seconds=0.2).data


def test_an_answer_is_read_whatever_its_status(port: int):
    assert ask(port, "fine") == "x" * 10
    assert ask(port, "failed") == "x" * 10


def test_an_answer_that_is_too_long_is_none(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api, "MOST_BYTES", 1000)

    with pytest.raises(Unreachable):
        ask(port, "much")


def test_an_answer_that_never_ends_is_given_up(port: int):
    began = time.monotonic()

    with pytest.raises(Unreachable):
        ask(port, "slow")

    assert time.monotonic() - began < 2
