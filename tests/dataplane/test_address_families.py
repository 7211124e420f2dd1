"""What pods listen at and are known by, in clusters of IPv4, of IPv6 and of both."""

import asyncio
import importlib.util
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from apps.dataplane.kubernetes.render.components.core import CHECK_HEALTH
from tests.dataplane.kubernetes_render.matrix import manifests_of
from tests.dataplane.kubernetes_render.pods import find

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
V4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 0))
V6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::7", 0, 0, 0))


def test_the_api_server_listens_at_every_address_of_its_pod() -> None:
    """One process of uvicorn gives its host to asyncio, which takes `::` for IPv6 alone."""
    core = find(manifests_of("celery-keda"), "ConfigMap", "environment-core")
    host = core["data"]["AIRFLOW__API__HOST"]

    async def reached() -> list[str]:
        async def end(_: Any, writer: asyncio.StreamWriter) -> None:
            writer.close()

        port = _free_port()
        found = []
        async with await asyncio.start_server(end, host=host, port=port):
            for address in ("127.0.0.1", "::1"):
                _, writer = await asyncio.open_connection(address, port)
                writer.close()
                found.append(address)
        return found

    assert asyncio.run(reached()) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("file", ["plugins/portal_address.py", "pods/check_heartbeat.py"])
@pytest.mark.parametrize(
    ("addresses", "known_by"),
    [([V4], "10.0.0.7"), ([V6], "[fd00::7]"), ([V6, V4], "10.0.0.7"), ([V4, V6], "10.0.0.7")],
)
def test_a_pod_is_known_by_its_address(
    monkeypatch: pytest.MonkeyPatch, file: str, addresses: list[Any], known_by: str
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", ModuleType("psycopg2"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(addresses))
    spec = importlib.util.spec_from_file_location("program", RUNTIME / file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.pod_address() == known_by
    # As Airflow writes the address of a log.
    log = urlsplit(f"http://{module.pod_address()}:8793/log/")
    assert (log.hostname, log.port) == (known_by.strip("[]"), 8793)


@pytest.fixture
def health() -> Iterator[HTTPServer]:
    """A scheduler's health server as Airflow makes it: of IPv4 alone."""

    class Health(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("0.0.0.0", 0), Health)  # noqa: S104
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "is_well"), [(200, True), (503, False)])
def test_the_scheduler_is_asked_for_its_health_from_inside_of_its_pod(
    health: HTTPServer, monkeypatch: pytest.MonkeyPatch, status: int, is_well: bool
) -> None:
    monkeypatch.setattr(health.RequestHandlerClass, "status", status)

    assert _asked(health.server_port) == is_well


def test_a_scheduler_that_does_not_listen_is_not_well() -> None:
    assert not _asked(_free_port())


def _asked(port: int) -> bool:
    command = CHECK_HEALTH.replace("8974", str(port))
    return subprocess.run(["bash", "-c", command], capture_output=True, timeout=10).returncode == 0


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
