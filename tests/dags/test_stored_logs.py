"""A log of 100 MB in an object store, read by ranges by what reads it inside an Airflow."""

import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.dags.log_parts import PATH, loaded, part_of

boto3 = pytest.importorskip("boto3")
pytestmark = pytest.mark.slow
LINE = b'{"timestamp": "2026-11-28T12:00:00Z", "level": "info", "event": "row %010d of the load"}\n'
N_LINES = 1_200_000
BUCKET, KEY = "logs", "attempt-1.log"
PAGE = (1_000, 512 * 1024)


class Store(BaseHTTPRequestHandler):
    """As much of S3 as a reader needs: objects are files, asked for whole or by a range."""

    folder: Path
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(200, 0, 0)

    def do_GET(self) -> None:
        found = self._path()
        size = found.stat().st_size
        if self.headers.get("If-Match", self._etag()) != self._etag():
            self._answer(412, 0, 0)
            return
        begin, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self._answer(206, begin, min(size, end + 1))

    def _answer(self, status: int, begin: int, end: int) -> None:
        length = end - begin if status == 206 else self._path().stat().st_size
        self.send_response(status)
        self.send_header("ETag", self._etag())
        self.send_header("Content-Length", str(0 if status == 412 else length))
        self.end_headers()
        if status == 206:
            with self._path().open("rb") as file:
                file.seek(begin)
                self.wfile.write(file.read(end - begin))

    def _path(self) -> Path:
        return self.folder / Path(urlsplit(self.path).path).name

    def _etag(self) -> str:
        found = self._path().stat()
        return f'"{found.st_mtime_ns:x}-{found.st_ino:x}"'

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    found: Path = tmp_path_factory.mktemp("store")
    with (found / KEY).open("wb") as file:
        for begin in range(0, N_LINES, 100_000):
            file.write(b"".join(LINE % n for n in range(begin, begin + 100_000)))
    return found


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    handler = type("Handler", (Store,), {"folder": folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server.server_address[1]}",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106 - nobody checks it
        region_name="eu-north-1",
    )
    yield found
    found.close()
    server.shutdown()
    server.server_close()
    thread.join()


class Counting:
    """A client that counts what is read."""

    def __init__(self, client: Any) -> None:
        self.client, self.n_bytes = client, 0
        self.head_object = client.head_object

    def get_object(self, **asked: Any) -> Any:
        answer = self.client.get_object(**asked)
        self.n_bytes += answer["ContentLength"]
        return answer


def open_log(client: Any) -> tuple[Any, Counting]:
    counting = Counting(client)
    return loaded("portal_stored_log").StoredLog(counting, bucket=BUCKET, key=KEY), counting


def test_a_page_of_a_large_log_reads_a_piece_of_it_in_bounded_memory(client: Any):
    size = N_LINES * len(LINE % 0)
    assert size > 100_000_000
    tracemalloc.start()
    log, counting = open_log(client)

    last = part_of(log, is_over=True, begin=None, end=None, limits=PAGE)
    middle = part_of(log, is_over=True, begin=size // 2, end=None, limits=PAGE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (last["end"], last["size"]) == (size, size)
    assert last["text"].endswith((LINE % (N_LINES - 1)).decode())
    assert middle["begin"] == size // 2
    assert counting.n_bytes <= 6 * 1024 * 1024
    assert most < 30 * 1024 * 1024


def test_a_search_of_a_large_log_holds_a_few_blocks(client: Any):
    log, _ = open_log(client)
    tracemalloc.start()

    found = part_of(log, is_over=True, begin=None, end=None, limits=PAGE, contains="row 0000600000")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # It goes on from where the time of one answer ended.
    while not found["text"] and found["begin"] > 0:
        found = part_of(
            log,
            is_over=True,
            begin=None,
            end=found["begin"],
            limits=PAGE,
            contains="row 0000600000",
        )
    assert found["text"] == (LINE % 600_000).decode()
    assert most < 40 * 1024 * 1024


def test_what_is_read_is_what_is_stored_at_every_seam(client: Any):
    log, _ = open_log(client)
    block = loaded("portal_stored_log").BLOCK_BYTES
    for begin in (0, block - 1, block, 3 * block - 5):
        log.seek(begin)
        whole = b"".join(LINE % n for n in range(60_000))
        assert log.read(block + 10) == whole[begin : begin + block + 10]
    log.seek(-5, 2)
    assert log.read(100) == whole[:0] + (LINE % (N_LINES - 1))[-5:]


def test_an_object_that_is_replaced_meanwhile_is_not_mixed_with_the_old_one(
    client: Any, folder: Path
):
    path = folder / "other"
    path.write_bytes(b"one\n" * 600_000)
    log = loaded("portal_stored_log").StoredLog(client, bucket=BUCKET, key="other")
    assert log.read(4) == b"one\n"
    path.unlink()
    path.write_bytes(b"two\n" * 600_000)
    log.seek(2_000_000)

    with pytest.raises(Exception, match="PreconditionFailed|412"):
        log.read(4)


def test_the_plugin_is_where_airflow_finds_it():
    assert (PATH.parent / "portal_stored_log.py").is_file()
