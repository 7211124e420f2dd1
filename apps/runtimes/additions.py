"""Runtimes and withdrawals that came after this portal: accepted from the signed feed, or tested on
this machine. They lie in a folder, `settings.RUNTIME_FOLDER`, so that every process reads them
without a query; portals on several machines share that folder.

    feed.json      the payload of the last accepted feed
    tested.json    what was tested here, and what upstream withdrew
    locks/         one lock per runtime
"""

import json
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

FEED, TESTED = "feed.json", "tested.json"
Mark = tuple[int, int]


def folder() -> Path:
    return Path(settings.RUNTIME_FOLDER)


def lock_file(airflow_version: str) -> Path:
    """Return where the lock of an Airflow lies that is not one of the portal's own."""
    return folder() / "locks" / f"airflow-{airflow_version}.txt"


def mark() -> tuple[Mark, Mark]:
    """Return what changes whenever one of the files does."""
    return (_mark(folder() / FEED), _mark(folder() / TESTED))


def entries() -> tuple[dict[str, Any], ...]:
    """Return entries as those of the catalogue: of the feed, then those tested here."""
    return tuple(
        entry
        for name in (FEED, TESTED)
        for entry in _read(str(folder() / name), _mark(folder() / name)).get("runtimes", ())
    )


def withdrawn() -> dict[str, str]:
    """Return why upstream withdrew versions of Airflow, by version."""
    data = _read(str(folder() / TESTED), _mark(folder() / TESTED))
    return dict(data.get("yanked", {}))


def read_date(text: str) -> date:
    return date.fromisoformat(text)


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _read(path: str, mark: Mark) -> dict[str, Any]:
    if mark == (0, 0):
        return {}
    try:
        data = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
