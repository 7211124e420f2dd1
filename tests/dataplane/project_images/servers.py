"""A real registry, and an index with small packages, both over TLS of an authority of our own."""

import base64
import hashlib
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kubernetes.certificates import Authority, Signed

REGISTRY = shutil.which("docker-registry")
USER, PASSWORD = "builder", "of the-registry"
# The password above, with the fewest rounds of bcrypt.
HTPASSWD = f"{USER}:$2b$04$8Gxm5sj17alwy2za.H24EujBuDRAaQipBMygPkDbXxL63RasLVhcS\n"
OCI = "application/vnd.oci.image.manifest.v1+json"
PACKAGE, VERSION = "greeting-words", "1.2"
SAYS = "Good morning from a package"
# Of every kind that an installation can hold: modules, a path file, a program, data.
ANY = "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
INFO, DATA = "greeting_words-1.2.dist-info", "greeting_words-1.2.data"
WHEEL = {
    "greeting_words/__init__.py": f'def greet():\n    return "{SAYS}"\n',
    "greeting_words.pth": "import greeting_words_started\n",
    "greeting_words_started.py": "",
    f"{DATA}/data/share/greeting/words.txt": "Good morning\n",
    f"{DATA}/scripts/greet-plain": "#!python\nimport greeting_words\n",
    f"{INFO}/METADATA": METADATA.format("greeting-words", VERSION),
    f"{INFO}/WHEEL": ANY,
    f"{INFO}/entry_points.txt": "[console_scripts]\ngreet = greeting_words:greet\n",
}
NEEDY = {
    "needy/__init__.py": "",
    "needy-1.0.dist-info/METADATA": METADATA.format("needy", "1.0")
    + "Requires-Dist: sqlalchemy<1.4\n",
    "needy-1.0.dist-info/WHEEL": ANY,
}


@dataclass(frozen=True)
class Registry:
    """A `docker-registry` that runs. `folder` has its storage."""

    host: str
    folder: Path
    authority: Authority
    process: "subprocess.Popen[bytes]"

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("https://") else f"https://{self.host}{path}"
        request = urllib.request.Request(
            url, body, {"Authorization": f"Basic {pair}", **named}, method=method
        )
        context = ssl.create_default_context(cadata=self.authority.certificate)
        return urllib.request.urlopen(request, context=context, timeout=10)

    def blob(self, repository: str, digest: str) -> bytes:
        content: bytes = self.call("GET", f"/v2/{repository}/blobs/{digest}").read()
        return content

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = json.load(
            self.call("GET", f"/v2/{repository}/manifests/{reference}", Accept=OCI)
        )
        return found

    def push(self, repository: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self.call("POST", f"/v2/{repository}/blobs/uploads/", b"").headers["Location"]
        kind = "application/octet-stream"
        self.call("PUT", f"{place}&digest={digest}", content, Content_Type=kind).close()
        return {"digest": digest, "size": len(content)}

    def push_image(
        self, repository: str, tag: str, *, layer: bytes = b"no tar, and not read"
    ) -> str:
        """Store an image of one layer; return its digest."""
        root = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
        settings = {"User": "50000", "Env": ["PATH=/bin"]}
        config = {"architecture": "amd64", "os": "linux", "config": settings, "rootfs": root}
        kind = "application/vnd.oci.image.layer.v1.tar"
        body = {
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                **self.push(repository, json.dumps(config).encode()),
            },
            "layers": [{"mediaType": kind, **self.push(repository, layer)}],
        }
        answer = self.call(
            "PUT",
            f"/v2/{repository}/manifests/{tag}",
            json.dumps(body).encode(),
            Content_Type=OCI,
        )
        return str(answer.headers["Docker-Content-Digest"])


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def running_registry(folder: Path, authority: Authority, address: str) -> Iterator[Registry]:
    """Run a registry with a password, and end it."""
    assert REGISTRY
    host = f"{address}:{free_port(address)}"
    signed = authority.server(address)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "certificate.pem").write_text(signed.certificate)
    (folder / "key.pem").write_text(signed.key)
    (folder / "htpasswd").write_text(HTPASSWD)
    tls = f"{{certificate: {folder}/certificate.pem, key: {folder}/key.pem}}"
    (folder / "config.yml").write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{host}', tls: {tls}, secret: of-this-run}}\n"
        f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    )
    with (folder / "log").open("wb") as log:
        command = [REGISTRY, "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    registry = Registry(host, folder, authority, process)
    try:
        _wait(registry)
        yield registry
    finally:
        process.kill()
        process.wait()


def _wait(registry: Registry) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            registry.call("GET", "/v2/").close()
        except OSError:
            assert time.monotonic() < deadline, (registry.folder / "log").read_text()
            time.sleep(0.05)
        else:
            return


def wheel(folder: Path, files: dict[str, str]) -> Path:
    """Write a wheel as an index has it."""
    [info] = {name.split("/")[0] for name in files if ".dist-info/" in name}
    rows = [f"{name},sha256={_short(text)},{len(text.encode())}" for name, text in files.items()]
    record = f"{info}/RECORD"
    path = folder / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text)
        listed = "\n".join([*rows, f"{record},,"]) + "\n"
        archive.writestr(zipfile.ZipInfo(record, (2026, 1, 1, 0, 0, 0)), listed)
    return path


def _short(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@contextmanager
def running_index(folder: Path, signed: Signed, address: str) -> Iterator[str]:
    """Serve wheels as `pip` expects an index; yield its address."""
    files = folder / "simple"
    for wheel_files in (WHEEL, NEEDY):
        [name] = {
            one.split("/")[0].split("-")[0] for one in wheel_files if one.endswith("METADATA")
        }
        place = files / name.replace("_", "-")
        place.mkdir(parents=True)
        made = wheel(place, wheel_files)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        link = f'<a href="{made.name}#sha256={digest}">{made.name}</a>'
        (place / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")
    pem = folder / "index.pem"
    pem.write_text(signed.certificate + signed.key)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield f"https://{address}:{server.server_port}/simple/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
