"""The smallest server of a status page: the bytes are there, and nothing is looked at."""

from collections.abc import Callable, Iterable
from typing import Any

BODY = bytes(range(256)) * 9


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer whatever is asked with two kilobytes, as a compressed page has."""
    headers = [("Content-Type", "text/html"), ("Content-Length", str(len(BODY)))]
    start("200 OK", headers)
    return (BODY,)
