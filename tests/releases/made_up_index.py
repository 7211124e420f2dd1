"""A package index that publishes whatever a test wants, as PEP 691 and PEP 700 say."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from apps.releases.index import JSON


class MadeUpIndex:
    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.status, self.body = 200, None
        self.asked: list[Mapping[str, str]] = []

    def publish(self, version: str, at: str = "2026-11-28T19:00:00Z", **more: Any) -> None:
        name = f"apache_airflow-{version}-py3-none-any.whl"
        self.files.append({"filename": name, "upload-time": at, **more})

    @property
    def etag(self) -> str:
        return f'"{len(self.files)}"'

    @property
    def page(self) -> bytes:
        return self.body or json.dumps({"files": self.files}).encode()


@contextmanager
def made_up_index() -> Iterator[tuple[str, MadeUpIndex]]:
    """Run an index on loopback; yield its address and what it has."""
    index = MadeUpIndex()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(dict(self.headers))
            is_same = self.headers.get("If-None-Match") == index.etag and index.status == 200
            is_known = self.path == "/simple/apache-airflow/"
            status = 304 if is_same else index.status if is_known else 404
            body = b"" if status == 304 else index.page
            self.send_response(status)
            self.send_header("Content-Type", JSON)
            self.send_header("ETag", index.etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple", index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
