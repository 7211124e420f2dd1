"""Test a cluster, within seconds and whatever it does: refuse, hang, or answer nonsense.

The look happens on a thread of a small pool, so that a request waits for it no longer than the
deadline. Such a thread uses no database.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from apps.clusters.connections import config_for, plane_for, plane_of
from apps.clusters.models import Cluster
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes.addresses import AddressRefused, allowed_addresses
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.status import Finding, PlaneCheck

DEADLINE_SECONDS = 10
# More than the web server has threads: a test never waits for another one.
MOST_TESTS = 16
TEXT_LENGTH = 500
MOST_ENTRIES = 100
HTTPS_PORT = 443

_pool = ThreadPoolExecutor(max_workers=MOST_TESTS, thread_name_prefix="cluster-test")


def probe(cluster: Cluster, *, connection: Connection | None = None) -> PlaneCheck:
    """Test a cluster and return what was found, within `DEADLINE_SECONDS`.

    `connection` is one to try in place of the stored one. Raises AddressRefused for an address that
    the portal does not connect to; every other failure is a finding.
    """
    if cluster.is_kubernetes:
        try:
            config = config_for(cluster, connection=connection)
        except DataPlaneError as error:
            return failed(error.sentence)
        future = _pool.submit(_look, plane_of(config), config.connection)
    else:
        future = _pool.submit(_look, plane_for(cluster), None)
    try:
        return future.result(timeout=DEADLINE_SECONDS)
    except TimeoutError:
        return failed(f"There was no answer within {DEADLINE_SECONDS} seconds.")


def stored_form(check: PlaneCheck) -> dict[str, Any]:
    """Return a result as JSON to keep. What a cluster says is cut short and made printable."""
    stored: dict[str, Any] = _tidied(asdict(check))
    return stored


def _look(plane: DataPlane, connection: Connection | None) -> PlaneCheck:
    try:
        if connection is not None and connection.networks is not None:
            parts = urlsplit(connection.server)
            allowed_addresses(
                host=parts.hostname or "",
                port=parts.port or HTTPS_PORT,
                networks=connection.networks,
            )
        return plane.check()
    except AddressRefused:
        raise
    except DataPlaneError as error:
        return failed(error.sentence)


def failed(sentence: str) -> PlaneCheck:
    """Return the result of a test that did not get through."""
    finding = Finding(
        title="Connection",
        is_ok=False,
        detail=sentence,
        remedy="Check the address, and that the portal's machine may connect to it.",
    )
    return PlaneCheck(is_usable=False, version="", findings=(finding,))


def _tidied(value: Any) -> Any:
    if isinstance(value, str):
        shown = "".join(one if one.isprintable() else " " for one in value)
        return shown[:TEXT_LENGTH]
    if isinstance(value, dict):
        return {name: _tidied(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tidied(one) for one in value[:MOST_ENTRIES]]
    return value
