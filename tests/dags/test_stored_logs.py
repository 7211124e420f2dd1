"""A log of 100 MB in object stores, read by ranges by what reads it inside an Airflow, by the very
clients of AWS, Google and Azure that are there.
"""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dags.log_parts import PATH, loaded, part_of
from tests.dags.log_stores import KINDS, Files, store_with

pytestmark = pytest.mark.slow
LINE = b'{"timestamp": "2026-11-28T12:00:00Z", "level": "info", "event": "row %010d of the load"}\n'
N_LINES = 1_200_000
NAME = "attempt=1.log"
PAGE = (1_000, 512 * 1024)
plugin = loaded("portal_stored_log")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    found: Path = tmp_path_factory.mktemp("store")
    with (found / NAME).open("wb") as file:
        for begin in range(0, N_LINES, 100_000):
            file.write(b"".join(LINE % n for n in range(begin, begin + 100_000)))
    return found


@pytest.fixture(scope="module", params=KINDS)
def served(request: Any, folder: Path) -> Iterator[tuple[str, Any, type[Files]]]:
    with store_with(folder, request.param) as (store, handler):
        yield request.param, store, handler


def opened(served: tuple[str, Any, type[Files]], name: str = NAME) -> Any:
    kind, store, handler = served
    handler.sent.clear()
    return plugin.FOUND_IN[kind](store, name)


def test_a_page_of_a_large_log_reads_a_piece_of_it_in_bounded_memory(served: Any):
    size = N_LINES * len(LINE % 0)
    assert size > 100_000_000
    tracemalloc.start()
    log = opened(served)

    last = part_of(log, is_over=True, begin=None, end=None, limits=PAGE)
    middle = part_of(log, is_over=True, begin=size // 2, end=None, limits=PAGE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (last["end"], last["size"]) == (size, size)
    assert last["text"].endswith((LINE % (N_LINES - 1)).decode())
    assert middle["begin"] == size // 2
    assert sum(served[2].sent) <= 6 * 1024 * 1024
    assert most < 40 * 1024 * 1024


def test_a_search_of_a_large_log_holds_a_few_blocks(served: Any):
    log = opened(served)
    words = "row 0001100000"
    tracemalloc.start()

    found = part_of(log, is_over=True, begin=None, end=None, limits=PAGE, contains=words)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # It goes on from where the time of one answer ended.
    while not found["text"] and found["begin"] > 0:
        end = found["begin"]
        found = part_of(log, is_over=True, begin=None, end=end, limits=PAGE, contains=words)
    assert found["text"] == (LINE % 1_100_000).decode()
    assert most < 40 * 1024 * 1024


def test_what_is_read_is_what_is_stored_at_every_seam(served: Any):
    log = opened(served)
    block = plugin.BLOCK_BYTES
    whole = b"".join(LINE % n for n in range(60_000))
    for begin in (0, block - 1, block, 3 * block - 5):
        log.seek(begin)
        assert log.read(block + 10) == whole[begin : begin + block + 10]
    log.seek(-5, 2)
    assert log.read(100) == (LINE % (N_LINES - 1))[-5:]


def test_an_object_that_is_replaced_meanwhile_is_not_mixed_with_the_old_one(
    served: Any, folder: Path
):
    path = folder / "other.log"
    path.write_bytes(b"one\n" * 600_000)
    log = opened(served, "other.log")
    assert log.read(4) == b"one\n"
    path.unlink()
    path.write_bytes(b"two\n" * 600_000)
    log.seek(2_000_000)

    with pytest.raises(Exception, match=r"PreconditionFailed|412|[Cc]ondition"):
        log.read(4)


def test_a_log_of_several_objects_or_none_or_a_compressed_one_is_left_to_airflow(
    served: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    kind, store, handler = served
    (folder / "two.log").write_bytes(b"task\n")
    (folder / "two.log.trigger.1.log").write_bytes(b"trigger\n")
    if kind == "S3RemoteLogIO":
        monkeypatch.setattr(store.hook, "keys", ("etl/two.log", "etl/two.log.trigger.1.log"))
    else:
        assert opened(served, "missing.log") is None
        monkeypatch.setattr(handler, "encoding", "gzip")
        assert opened(served) is None
        monkeypatch.setattr(handler, "encoding", "")

    assert opened(served, "two.log") is None


def test_the_plugin_is_where_airflow_finds_it():
    assert (PATH.parent / "portal_stored_log.py").is_file()
