"""A package index that asks for a user and a password, over TLS of an authority of its own."""

import base64
import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from apps.dataplane.spec import PackageIndex
from tests.dataplane.project_images.servers import NEEDY, WHEEL, wheel
from tests.kubernetes.certificates import Authority

USER, PASSWORD = "reader", "the-password-of-an-index"
ALLOWED = ("127.0.0.0/8",)


@dataclass
class PrivateIndex:
    """`pages` are bodies by path; `redirects` are targets by path. `asked` is what came, as
    (method, path, whether it had the credential).
    """

    ca: str
    port: int = 0
    pages: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def spec(self, key: str = "a1", **changes: object) -> PackageIndex:
        fields: dict[str, object] = {
            "key": key,
            "name": "acme",
            "url": f"{self.origin}/team/simple",
            "user": USER,
            "password": PASSWORD,
            "ca_certificate": self.ca,
        }
        return PackageIndex(**{**fields, **changes})  # type: ignore[arg-type]

    def add_wheels(self, folder: Path) -> None:
        """Offer two packages. The page of the first links to its whole address, the other's is
        relative.
        """
        for number, files in enumerate((WHEEL, NEEDY)):
            self.add(folder, files, base=f"{self.origin}/team" if number == 0 else "../..")

    def add(self, folder: Path, *versions: dict[str, str], base: str = "../..") -> None:
        """Offer a package in some versions."""
        links = ""
        for files in versions:
            made = wheel(folder, files)
            content = made.read_bytes()
            link = f"{base}/files/{made.name}#sha256={hashlib.sha256(content).hexdigest()}"
            links += f'<a href="{link}">{made.name}</a>'
            self.pages[f"/team/files/{made.name}"] = ("application/octet-stream", content)
        name = made.name.split("-")[0].replace("_", "-")
        page = f"<!DOCTYPE html><html><body>{links}</body></html>"
        self.pages[f"/team/simple/{name}/"] = ("text/html", page.encode())


@contextmanager
def private_index(folder: Path) -> Iterator[PrivateIndex]:
    """Run one without pages."""
    authority = Authority("index")
    signed = authority.server("127.0.0.1")
    index = PrivateIndex(ca=authority.certificate)
    pem = folder / "private-index.pem"
    pem.write_text(signed.certificate + signed.key)
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            is_known = self.headers.get("Authorization") == f"Basic {pair}"
            index.asked.append((self.command, self.path, is_known))
            if not is_known:
                return self.answer(401, {"WWW-Authenticate": "Basic"}, b"")
            if target := index.redirects.get(self.path):
                return self.answer(302, {"Location": target}, b"")
            if page := index.pages.get(self.path):
                return self.answer(200, {"Content-Type": page[0]}, page[1])
            return self.answer(404, {}, b"")

        do_HEAD = do_GET

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    index.port = server.server_port
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
