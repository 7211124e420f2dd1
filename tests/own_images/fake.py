"""A registry that says whatever a test wants, on this machine."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Response = tuple[int, bytes, dict[str, str]]


class FakeRegistry:
    """`answers` are by path. `seen` are the requests: path and `Authorization`."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.answers: dict[str, Response] = {}
        self.seen: list[tuple[str, str]] = []
        self.before: Callable[[str, str], Response | None] = lambda path, authorization: None

    def blob(self, value: Any, *, repository: str = "team/etl") -> str:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.answers[f"/v2/{repository}/blobs/{digest}"] = (200, body, {})
        return digest

    def manifest(self, tag: str, value: Any, *, repository: str = "team/etl") -> str:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for name in (tag, digest):
            self.answers[f"/v2/{repository}/manifests/{name}"] = (200, body, {})
        return digest

    def image(self, tag: str = "1.4", **fields: Any) -> str:
        """Put an image there; return the digest of its manifest."""
        config = self.blob(configuration(**fields))
        described = {"digest": config, "size": 10, "mediaType": "x"}
        return self.manifest(tag, {"mediaType": MANIFEST, "config": described, "layers": []})

    def answer(self, path: str, authorization: str) -> Response:
        self.seen.append((path, authorization))
        first = self.before(path, authorization)
        return first or self.answers.get(urlsplit(path).path, (404, b"{}", {}))


def configuration(
    *,
    env: Any = ("AIRFLOW_VERSION=3.3.2", "PYTHON_VERSION=3.12.11"),
    labels: Any = None,
    os: Any = "linux",
    architecture: Any = "amd64",
) -> dict[str, Any]:
    inner = {"Env": env if isinstance(env, str) else list(env), "Labels": labels}
    return {"os": os, "architecture": architecture, "config": inner}


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        fake = FakeRegistry(f"127.0.0.1:{server.server_port}")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body, headers = fake.answer(
                    self.path, self.headers.get("Authorization", "")
                )
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        server.RequestHandlerClass = Handler
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield fake
        server.shutdown()
