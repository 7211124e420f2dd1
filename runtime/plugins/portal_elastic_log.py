"""The lines of a log in Elasticsearch, read page by page. Without Airflow, for quick tests.

Airflow's provider writes a log when its try has ended: a document for each line, with the `log_id`
and an `offset` that begins at 1 with each upload. A task that was deferred uploads several times,
so that lines are in the order of their times. Its own reader answers with the first thousand.
"""

import json
from collections.abc import Iterator
from typing import Any

FIRST_LINES, MOST_LINES = 100, 5000
# About how much one page has, by the length of the lines before it.
PAGE_BYTES = 4 * 1024 * 1024
SECONDS = 10
SORT = [
    {"timestamp": {"order": "asc", "unmapped_type": "date", "missing": "_last"}},
    {"offset": {"order": "asc", "unmapped_type": "long"}},
]
# How a line is found, which is no part of it.
NOT_SHOWN = ("log_id", "offset", "host", "ti_id", "unparsed")


def lines_of(store: Any, tried: Any, try_number: int) -> Iterator[bytes]:
    """Yield the lines of a try as JSON; `store` is Airflow's `ElasticsearchRemoteLogIO`. Raises
    what its client raises.
    """
    log_id = store.log_id_template.format(
        dag_id=tried.dag_id,
        task_id=tried.task_id,
        run_id=tried.run_id,
        map_index=tried.map_index,
        try_number=try_number,
    )
    client = store.client.options(request_timeout=SECONDS, max_retries=0)
    asked, after, before = FIRST_LINES, None, None
    while True:
        hits = _page(client, store.target_index, log_id, asked, after)
        n_bytes = 0
        for hit in hits:
            line = _line(hit["_source"])
            n_bytes += len(line)
            # A phrase is also found in longer names. A log that is uploaded again has lines twice.
            if hit["_source"].get("log_id") == log_id and (hit["sort"], line) != before:
                yield line
            before = (hit["sort"], line)
        if len(hits) < asked:
            return
        after = hits[-1]["sort"]
        asked = max(10, min(MOST_LINES, PAGE_BYTES * len(hits) // n_bytes))


def _page(client: Any, index: str, log_id: str, size: int, after: Any) -> list[dict[str, Any]]:
    answer = client.search(
        index=index,
        query={"bool": {"filter": [{"match_phrase": {"log_id": log_id}}]}},
        sort=SORT,
        size=size,
        search_after=after,
        track_total_hits=False,
    )
    found: list[dict[str, Any]] = answer["hits"]["hits"]
    return found


def _line(source: dict[str, Any]) -> bytes:
    shown = {name: value for name, value in source.items() if name not in NOT_SHOWN}
    shown.setdefault("event", shown.pop("message", ""))
    return json.dumps(shown).encode() + b"\n"
