"""A log in Elasticsearch, read page by page by the client that an Airflow has, from a small server
that speaks as much of it as that needs.
"""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.dags.elastic_server import Elastic, elasticsearch
from tests.dags.log_parts import loaded

plugin = loaded("portal_elastic_log")
INDEX = "airflow-tidy-comet"
TEMPLATE = "{dag_id}-{task_id}-{run_id}-{map_index}-{try_number}"
TRIED = SimpleNamespace(dag_id="etl", task_id="load", run_id="manual__1", map_index=-1)
LOG_ID = "etl-load-manual__1--1-1"


@pytest.fixture
def served() -> Iterator[tuple[Any, type[Elastic]]]:
    client = pytest.importorskip("elasticsearch").Elasticsearch
    with elasticsearch() as (url, handler), client(url) as opened:
        yield (
            SimpleNamespace(client=opened, target_index=INDEX, log_id_template=TEMPLATE),
            handler,
        )


def document(number: int, *, log_id: str = LOG_ID, **more: Any) -> dict[str, Any]:
    at = f"2026-11-28T12:{number // 60_000:02}:{number // 1000 % 60:02}.{number % 1000:03}000Z"
    line = {"timestamp": at, "level": "info", "event": f"row {number}", "offset": number + 1}
    return {**line, "log_id": log_id, "host": "10.0.0.7", **more}


def read(store: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in plugin.lines_of(store, TRIED, 1)]


def test_a_log_of_many_pages_is_read_to_its_end_in_order(served: Any) -> None:
    store, handler = served
    handler.indices[INDEX] = [document(number) for number in reversed(range(12_000))]

    lines = read(store)

    assert [line["event"] for line in lines] == [f"row {number}" for number in range(12_000)]
    assert set(lines[0]) == {"timestamp", "level", "event"}
    assert [one["size"] for one in handler.asked] == [100, 5000, 5000, 5000]


def test_long_lines_make_short_pages(served: Any) -> None:
    store, handler = served
    long = "x" * 100_000
    handler.indices[INDEX] = [document(number, event=long) for number in range(300)]

    assert len(read(store)) == 300
    assert max(one["size"] for one in handler.asked[1:]) < 50


def test_logs_with_a_longer_name_are_other_logs(served: Any) -> None:
    store, handler = served
    others = ("more-etl-load-manual__1--1-1", "etl-load-manual__1--1-1-2")
    handler.indices[INDEX] = [document(0), *(document(1, log_id=one) for one in others)]

    assert [line["event"] for line in read(store)] == ["row 0"]


def test_a_deferred_task_that_uploads_again_has_each_line_once_and_in_order(served: Any) -> None:
    store, handler = served
    before = [document(number) for number in range(150)]
    after = [document(number + 500, offset=number + 1) for number in range(150)]
    handler.indices[INDEX] = [*after, *before, *before]

    numbers = [int(line["event"].split()[1]) for line in read(store)]

    assert numbers == [*range(150), *range(500, 650)]


def test_lines_that_no_airflow_wrote_are_shown_as_they_are(served: Any) -> None:
    store, handler = served
    odd = {"message": "Killed", "unparsed": True, "log_id": LOG_ID, "offset": 3}
    nested = document(1, event={"a": ["\ud800", None]}, error_detail="x")
    handler.indices[INDEX] = [document(0), nested, odd]

    lines = read(store)

    assert lines[1]["event"] == {"a": ["\ud800", None]}
    assert lines[2] == {"event": "Killed"}


def test_an_index_that_is_not_there_and_a_server_that_fails_are_told(served: Any) -> None:
    store, handler = served
    with pytest.raises(Exception, match="404|index_not_found"):
        read(store)

    handler.indices[INDEX] = [document(number) for number in range(500)]
    handler.fails_from = 2
    with pytest.raises(Exception, match=r"503|unavailable"):
        read(store)
    # Once, while a page waits.
    assert len(handler.asked) == 3
