"""A server before a real registry that fails as registries do: refuses, is full, goes away."""

import http.client
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.dataplane.project_images.servers import Registry

PASSED_ON = ("Accept", "Authorization", "Content-Type", "Content-Length", "Host")


@dataclass
class Faulty:
    """`fault` is what happens to uploads of blobs: "" nothing, a status, or "cut" in the middle;
    `times` is how often. `manifests` is the status of a manifest that is stored.
    """

    host: str = ""
    fault: str = ""
    body: str = ""
    times: int = 100
    manifests: int = 0
    seen: int = 0

    def strikes(self) -> bool:
        self.seen += bool(self.fault)
        return bool(self.fault) and self.seen <= self.times


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: Faulty
    registry: Registry

    def pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.command == "PATCH" and self.faulty.strikes():
            self.fail(length)
            return
        body = self.rfile.read(length)
        if self.command == "PUT" and "/manifests/" in self.path and self.faulty.manifests:
            self.answer(self.faulty.manifests, {}, b"")
            return
        trusted = ssl.create_default_context(cadata=self.registry.authority.certificate)
        connection = http.client.HTTPSConnection(self.registry.host, context=trusted, timeout=10)
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.answer(answer.status, dict(answer.getheaders()), content)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = pass_on

    def fail(self, length: int) -> None:
        if self.faulty.fault == "cut":
            self.rfile.read(min(length, 100))
            self.close_connection = True
            self.connection.close()
            return
        self.rfile.read(length)
        self.answer(int(self.faulty.fault), {}, self.faulty.body.encode())

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        size = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", size or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *arguments: object) -> None:
        pass


@contextmanager
def faulty_registry(registry: Registry) -> Iterator[Faulty]:
    """Pass on what is asked, but for the fault that is set."""
    faulty = Faulty()
    signed = registry.authority.server("127.0.0.1")
    pem = registry.folder / "faulty.pem"
    pem.write_text(signed.certificate + signed.key)
    handler = type("Of", (_Handler,), {"faulty": faulty, "registry": registry})
    server = _Server(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    faulty.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield faulty
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
