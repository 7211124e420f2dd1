"""Known vulnerabilities in the packages of a runtime, from a file in OSV form that the operator
gives: a JSON list of records, or one record a line. Nothing is asked over the network.

Source of the format: https://ossf.github.io/osv-schema/
"""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from apps.dataplane.project_checks.locks import versions
from apps.runtimes.catalogue import Runtime

logger = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024**2
MOST_SHOWN = 100
Records = Mapping[str, tuple[dict[str, Any], ...]]


@dataclass(frozen=True, kw_only=True)
class Vulnerability:
    """A record that names a package of a lock in its version."""

    id: str
    package: str
    version: str
    summary: str


def known_in(runtime: Runtime) -> tuple[Vulnerability, ...] | None:
    """Return what the file says of a runtime's packages; None without a readable file."""
    if not settings.OSV_FILE:
        return None
    path = Path(settings.OSV_FILE)
    try:
        found = path.stat()
        records = _records(str(path), found.st_mtime_ns, found.st_size)
        lock = runtime.lock_path.read_text()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        logger.warning("vulnerabilities not read", extra={"path": str(path)})
        return None
    return tuple(
        Vulnerability(
            id=str(record.get("id", ""))[:60],
            package=name,
            version=version,
            summary=str(record.get("summary", ""))[:200],
        )
        for name, version in versions(lock).items()
        for record in records.get(name, ())
        if is_affected(record, name, version)
    )[:MOST_SHOWN]


def is_affected(record: Mapping[str, Any], name: str, version: str) -> bool:
    """Return whether a record says that a version of a package is affected."""
    return any(
        version in affected.get("versions", ())
        or any(_is_in(one, version) for one in affected.get("ranges", ()))
        for affected in record.get("affected", ())
        if _package(affected) == name
    )


def _is_in(range_: Mapping[str, Any], version: str) -> bool:
    """Walk the events in order, as the schema's own algorithm does."""
    if range_.get("type") != "ECOSYSTEM":
        return False
    try:
        own, is_bad = Version(version), False
        for event in range_["events"]:
            if "introduced" in event and own >= Version(event["introduced"]):
                is_bad = True
            if "fixed" in event and own >= Version(event["fixed"]):
                is_bad = False
            if "last_affected" in event and own > Version(event["last_affected"]):
                is_bad = False
    except InvalidVersion:
        return False
    return is_bad


@lru_cache(maxsize=2)
def _records(path: str, _changed: int, size: int) -> Records:
    if size > MOST_BYTES:
        raise ValueError(path)
    text = Path(path).read_text()
    rows = (
        json.loads(text)
        if text.lstrip().startswith("[")
        else [json.loads(line) for line in text.splitlines() if line.strip()]
    )
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in rows:
        if record.get("withdrawn"):
            continue
        for name in {_package(affected) for affected in record.get("affected", ())} - {""}:
            found[name].append(record)
    return {name: tuple(records) for name, records in found.items()}


def _package(affected: Mapping[str, Any]) -> str:
    package = affected.get("package", {})
    return canonicalize_name(package["name"]) if package.get("ecosystem") == "PyPI" else ""
