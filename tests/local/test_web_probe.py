"""How the launcher sees that the web server answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from apps.dataplane.local.home import Home
from astro_portal.launcher import Launcher


class StrictServer(BaseHTTPRequestHandler):
    """Answers one name alone, as Django does with ALLOWED_HOSTS."""

    def do_GET(self) -> None:
        is_known = self.headers["Host"] == "portal.example.org"
        self.send_response(200 if is_known and self.path == "/healthz" else 400)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), StrictServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("url", "is_ready"),
    [("https://portal.example.org", True), ("https://other.example.org", False)],
)
def test_the_launcher_asks_for_the_name_that_browsers_use(
    url: str, is_ready: bool, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_URL", url)
    home = Home(tmp_path)
    home.ports.write_text(json.dumps({"portal": port}))

    assert Launcher(home)._is_web_ready() is is_ready
