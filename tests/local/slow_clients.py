"""A web server with two threads and little patience, for tests with slow clients."""

from collections.abc import Callable, Iterable
from typing import Any

from apps.core.web.worker import PatientWorker


class ImpatientWorker(PatientWorker):
    request_seconds = 1.0


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer how many bytes came."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(body)).encode()]
