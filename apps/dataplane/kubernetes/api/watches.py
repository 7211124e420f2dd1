"""An open watch of a Kubernetes API, as events."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import orjson

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.redaction import redact
from apps.dataplane.kubernetes.api.transport import Stream

LONGEST_LINE = 8 * 1024 * 1024
MOST_CHUNKS_OF_AN_ERROR = 4


class Watch:
    """An open watch of anything but Secrets. `close` may be called from another thread.

    `from_response` turns a status and the body that came with it into an error.
    """

    def __init__(self, stream: Stream, from_response: Callable[[int, bytes], Exception]) -> None:
        self._stream = stream
        self._error_of = from_response

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events as they come, bookmarks too, until the server ends the watch.

        Raises Gone when a new LIST is needed, Unreachable when the stream fell silent.
        """
        if self._stream.status >= 400:
            body = b"".join(islice(self._stream.chunks(), MOST_CHUNKS_OF_AN_ERROR))
            raise self._error_of(self._stream.status, body)
        for line in _lines(self._stream.chunks()):
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise self._error_of(status.get("code", 500), orjson.dumps(status))
            redact(event["object"], is_secret=False)
            yield event

    def close(self) -> None:
        """End the watch."""
        self._stream.close()


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise Permanent("The cluster's API sent more data than the portal accepts at once.")
        yield from (line for line in lines if line)
