"""Object stores that hold files, as much of each as a reader of logs needs: S3, Google, Azure."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

BUCKET, FOLDER = "logs", "etl"


class Files(BaseHTTPRequestHandler):
    """Objects are the files of a folder, asked for by ranges; `sent` counts their bytes."""

    folder: Path
    sent: list[int]
    encoding = ""
    protocol_version = "HTTP/1.1"

    @property
    def asked(self) -> str:
        return unquote(urlsplit(self.path).path)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def listed(self, prefix: str) -> list[tuple[str, os.stat_result]]:
        name = prefix.removeprefix(f"{FOLDER}/")
        found = [one for one in sorted(self.folder.iterdir()) if one.name.startswith(name)]
        return [(f"{FOLDER}/{one.name}", one.stat()) for one in found]

    def state(self) -> os.stat_result:
        return (self.folder / Path(self.asked).name).stat()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.get("Length", str(len(body))))
        self.end_headers()
        self.wfile.write(body)

    def answer_range(self, header: str, **headers: str) -> None:
        """Send what the header asks for; a store would send all to who asks for no range."""
        path = self.folder / Path(self.asked).name
        begin, end = map(int, self.headers[header].removeprefix("bytes=").split("-"))
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(begin)
            body = file.read(min(size, end + 1) - begin)
        self.sent.append(len(body))
        told = f"bytes {begin}-{begin + len(body) - 1}/{size}"
        self.answer(206, body, Content_Range=told, **headers)

    def log_message(self, *_: Any) -> None: ...


def version(state: os.stat_result) -> str:
    return str(state.st_mtime_ns + state.st_ino)


class S3(Files):
    def do_HEAD(self) -> None:
        state = self.state()
        self.answer(200, ETag=f'"{version(state)}"', Length=str(state.st_size))

    def do_GET(self) -> None:
        etag = f'"{version(self.state())}"'
        if self.headers.get("If-Match", etag) != etag:
            self.answer(412)
        else:
            self.answer_range("Range", ETag=etag)


class Google(Files):
    def do_GET(self) -> None:
        if self.asked.endswith("/o"):
            items = [
                {"name": name, "bucket": BUCKET, "size": str(state.st_size)}
                | {"generation": version(state), "contentEncoding": self.encoding}
                for name, state in self.listed(self.query["prefix"])
            ]
            body = json.dumps({"kind": "storage#objects", "items": items}).encode()
            self.answer(200, body, Content_Type="application/json")
        elif "/o/" not in self.path:
            # Of the bucket itself, which a reader of objects may not see.
            self.answer(403)
        elif self.query.get("ifGenerationMatch") != version(self.state()):
            self.answer(412)
        else:
            headers = {"Content_Type": "text/plain", "X_Goog_Generation": version(self.state())}
            self.answer_range("Range", **headers)


class Azure(Files):
    def do_GET(self) -> None:
        if self.query.get("comp") == "list":
            blobs = "".join(
                f"<Blob><Name>{name}</Name><Properties><Etag>{version(state)}</Etag>"
                f"<Content-Length>{state.st_size}</Content-Length><BlobType>BlockBlob</BlobType>"
                f"<Content-Encoding>{self.encoding}</Content-Encoding></Properties></Blob>"
                for name, state in self.listed(self.query["prefix"])
            )
            text = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
            self.answer(200, text.encode(), Content_Type="application/xml")
        elif self.headers.get("If-Match") != f'"{version(self.state())}"':
            self.answer(412)
        else:
            self.answer_range("x-ms-range", ETag=f'"{version(self.state())}"')


def s3_of(url: str) -> Any:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106 - no server compares it
        region_name="eu-north-1",
    )

    class Hook:
        """As much of Airflow's hook as is used; it lists by a request of its own."""

        keys: tuple[str, ...] = ()

        def parse_s3_url(self, address: str) -> tuple[str, str]:
            bucket, _, key = address.removeprefix("s3://").partition("/")
            return bucket, key

        def list_keys(self, *, bucket_name: str, prefix: str) -> list[str]:
            assert bucket_name == BUCKET
            return list(self.keys or [prefix])

        def get_conn(self) -> Any:
            return client

    return SimpleNamespace(hook=Hook(), remote_base=f"s3://{BUCKET}/{FOLDER}")


def google_of(url: str) -> Any:
    storage = pytest.importorskip("google.cloud.storage")
    credentials = pytest.importorskip("google.auth.credentials").AnonymousCredentials()
    client = storage.Client(
        project="p", credentials=credentials, client_options={"api_endpoint": url}
    )
    return SimpleNamespace(client=client, remote_base=f"gs://{BUCKET}/{FOLDER}")


def azure_of(url: str) -> Any:
    blob = pytest.importorskip("azure.storage.blob")
    client = blob.BlobServiceClient(f"{url}/account", credential="eA==")
    hook = SimpleNamespace(blob_service_client=client)
    return SimpleNamespace(hook=hook, wasb_container=BUCKET, remote_base=FOLDER)


# How Airflow's class is called, the server, and what stands for an instance of the class.
KINDS = {
    "S3RemoteLogIO": (S3, s3_of),
    "GCSRemoteLogIO": (Google, google_of),
    "WasbRemoteLogIO": (Azure, azure_of),
}


@contextmanager
def store_with(folder: Path, kind: str) -> Iterator[tuple[Any, type[Files]]]:
    """Serve a folder as a store, and yield what Airflow has of it beside the server's handler."""
    base, make = KINDS[kind]
    handler = type("Handler", (base,), {"folder": folder, "sent": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield make(f"http://127.0.0.1:{server.server_address[1]}"), handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
