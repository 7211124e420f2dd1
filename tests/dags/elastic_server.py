"""As much of Elasticsearch as writing and reading logs needs, by its reference of _bulk and
_search: `match_phrase` and `range` in `bool`, sorting by time and offset, `search_after`.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LATE = "9999"


class Elastic(BaseHTTPRequestHandler):
    """`indices` are the documents by index, `asked` the bodies of searches. All behind the first
    `fails_from` of these fail.
    """

    indices: dict[str, list[dict[str, Any]]]
    asked: list[dict[str, Any]]
    fails_from = 10**9
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path.endswith("_bulk"):
            self._bulk([json.loads(line) for line in body.splitlines() if line])
        else:
            self._search(path.split("/")[1], json.loads(body))

    def _bulk(self, lines: list[dict[str, Any]]) -> None:
        items = []
        for act, document in zip(lines[::2], lines[1::2], strict=True):
            self.indices.setdefault(act["index"]["_index"], []).append(document)
            items.append({"index": {"status": 201}})
        self._answer(200, {"errors": False, "items": items})

    def _search(self, index: str, asked: dict[str, Any]) -> None:
        self.asked.append(asked)
        if len(self.asked) > self.fails_from:
            self._answer(503, {"error": {"type": "unavailable"}, "status": 503})
        elif index not in self.indices:
            self._answer(404, {"error": {"type": "index_not_found"}, "status": 404})
        else:
            found = [one for one in self.indices[index] if is_found(one, asked["query"]["bool"])]
            keyed = sorted((key_of(one, asked["sort"]), at) for at, one in enumerate(found))
            after = asked.get("search_after")
            rest = [pair for pair in keyed if after is None or pair[0] > after][: asked["size"]]
            hits = [{"_index": index, "_source": found[at], "sort": key} for key, at in rest]
            self._answer(200, {"hits": {"hits": hits}})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        # Without it the client takes it for another product.
        self.send_header("X-Elastic-Product", "Elasticsearch")
        kind = "application/vnd.elasticsearch+json;compatible-with=8"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def words(text: str) -> list[str]:
    """Return the terms of the standard analyzer, about."""
    return re.findall(r"\w+", text.lower())


def is_found(document: dict[str, Any], query: dict[str, Any]) -> bool:
    """Return whether all conditions of a `bool` hold."""
    return all(_holds(document, one) for one in (*query.get("filter", ()), *query.get("must", ())))


def _holds(document: dict[str, Any], condition: dict[str, Any]) -> bool:
    ((kind, fields),) = condition.items()
    ((field, wanted),) = fields.items()
    if kind == "range":
        return bool(document[field] > wanted["gt"])
    terms, phrase = words(document[field]), words(wanted)
    length = len(phrase)
    return any(terms[at : at + length] == phrase for at in range(len(terms) - length + 1))


def key_of(document: dict[str, Any], sort: list[Any]) -> list[Any]:
    """Return by what a document is sorted; of a time its milliseconds, as dates have."""
    fields = [one if isinstance(one, str) else next(iter(one)) for one in sort]
    values = [document.get(field, LATE) for field in fields]
    return [value[:23] if isinstance(value, str) else value for value in values]


@contextmanager
def elasticsearch() -> Iterator[tuple[str, type[Elastic]]]:
    """Serve it, and yield its address beside the handler."""
    handler = type("Handler", (Elastic,), {"indices": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
