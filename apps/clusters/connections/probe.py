"""Test a cluster within seconds, whether it refuses, hangs, or answers nonsense.

The test runs on a thread of a small pool, so that a request waits for it no longer than the
deadline. Such a thread uses no database.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from apps.clusters.connections.planes import config_for, forget_failures, plane_for, plane_of
from apps.clusters.models import Cluster
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError, Unreachable
from apps.dataplane.kubernetes.api.addresses import allowed_addresses
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.status import Finding, PlaneCheck

DEADLINE_SECONDS = 10
# More than the web server has threads: a test never waits for another one.
MOST_TESTS = 16
TEXT_LENGTH = 500
MOST_ENTRIES = 100
HTTPS_PORT = 443

_pool = ThreadPoolExecutor(max_workers=MOST_TESTS, thread_name_prefix="cluster-test")


@runtime_checkable
class Closable(Protocol):
    """A data plane with connections to close after a test."""

    def close(self) -> None: ...


def probe(cluster: Cluster) -> PlaneCheck:
    """Test a registered cluster and return what was found, within `DEADLINE_SECONDS`."""
    try:
        plane = plane_for(cluster)
        forget_failures(cluster)
    except DataPlaneError as error:
        return failed(error.message)
    return _within_deadline(lambda: _check(plane))


def probe_connection(cluster: Cluster, connection: Connection) -> PlaneCheck:
    """Test a connection that is not in use yet, within `DEADLINE_SECONDS`.

    Raises AddressRefused for an address that the portal does not connect to; every other failure is
    a finding.
    """
    try:
        config = config_for(cluster, connection=connection)
    except DataPlaneError as error:
        return failed(error.message)
    return _within_deadline(lambda: _try(plane_of(config), connection))


def probe_connections(given: Sequence[tuple[Cluster, Connection]]) -> list[PlaneCheck]:
    """Test several connections side by side, as `probe_connection` does one."""
    configs = [config_for(cluster, connection=connection) for cluster, connection in given]
    tests = [
        _pool.submit(_try, plane_of(config), connection)
        for config, (_, connection) in zip(configs, given, strict=True)
    ]
    deadline = time.monotonic() + DEADLINE_SECONDS
    return [_result(test, deadline - time.monotonic()) for test in tests]


def stored_form(check: PlaneCheck) -> dict[str, Any]:
    """Return a result as JSON to keep. Text from the cluster is shortened and made printable."""
    stored: dict[str, Any] = tidied(asdict(check))
    return stored


def tidied(value: Any) -> Any:
    """Return JSON values with their texts shortened and made printable, and short lists."""
    if isinstance(value, str):
        shown = "".join(one if one.isprintable() else " " for one in value)
        return shown[:TEXT_LENGTH]
    if isinstance(value, dict):
        return {name: tidied(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [tidied(one) for one in value[:MOST_ENTRIES]]
    return value


def failed(message: str) -> PlaneCheck:
    """Return the result of a test that did not get through."""
    finding = Finding(
        title="Connection",
        is_ok=False,
        detail=message,
        remedy="Check the address, and that the portal's machine may connect to it.",
    )
    return PlaneCheck(is_usable=False, version="", findings=(finding,))


def _within_deadline(look: Callable[[], PlaneCheck]) -> PlaneCheck:
    return _result(_pool.submit(look), DEADLINE_SECONDS)


def _result(test: Future[PlaneCheck], seconds: float) -> PlaneCheck:
    try:
        return test.result(timeout=max(0.0, seconds))
    except TimeoutError:
        return failed(f"There was no answer within {DEADLINE_SECONDS} seconds.")


def _check(plane: DataPlane) -> PlaneCheck:
    try:
        return plane.check()
    except DataPlaneError as error:
        return failed(error.message)


def _try(plane: DataPlane, connection: Connection) -> PlaneCheck:
    # Through a proxy it is that one which the portal connects to.
    parts = urlsplit(connection.proxy or connection.server)
    host, port = parts.hostname or "", parts.port or HTTPS_PORT
    try:
        allowed_addresses(host=host, port=port, networks=connection.networks or ())
        return _check(plane)
    except Unreachable as error:
        return failed(error.message)
    finally:
        if isinstance(plane, Closable):
            plane.close()
