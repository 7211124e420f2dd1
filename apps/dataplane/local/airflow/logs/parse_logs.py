"""Read what DAG files print while they are parsed.

Airflow's DAG processor writes `<day>/<bundle>/<file>.log`, one JSON object a line. Code of DAGs can
write there, too: names are only taken from what was listed, links are not followed, and whatever
is no regular file is not opened.
"""

import json
import os
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.logs.log_files import read_files
from apps.dataplane.local.layout import Folder
from apps.dataplane.status import LogPage

MOST_FILES = 1_000
MOST_CHARACTERS = 500
SUFFIX = ".log"
# What stands before the rest of a line, or says where in Airflow's own code it was written.
LEFT_OUT = ("timestamp", "level", "event", "logger", "filename", "lineno")


def dag_files(folder: Folder) -> tuple[str, ...]:
    """Name the DAG files that have a log, in alphabetical order; `MOST_FILES` at most."""
    return tuple(sorted(_newest(folder)))


def read_page(folder: Folder, *, file: str, cursor: str, contains: str, limit: int) -> LogPage:
    """Return the last `limit` lines about a DAG file, or those after `cursor`.

    Raises Permanent for a file that has no log.
    """
    path = _newest(folder).get(file)
    if path is None:
        raise Permanent("This DAG file has no log.")
    return read_files(
        [path], name=file, cursor=cursor, contains=contains, limit=limit, as_text=as_text
    )


def as_text(line: str) -> str:
    """Write a line of JSON as Airflow's components write theirs; any other line is kept."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(said, dict):
        return line
    level = f"[{_short(said.get('level', 'info')):9}]"
    rest = [f"{name}={_short(value)}" for name, value in said.items() if name not in LEFT_OUT]
    return " ".join([_short(said.get("timestamp", "")), level, str(said.get("event", "")), *rest])


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def _newest(folder: Folder) -> dict[str, Path]:
    """Return the newest log of each DAG file, by its path in the bundle."""
    found: dict[str, Path] = {}
    for day in sorted(filter(_is_day, _entries(folder.parse_logs)), reverse=True):
        for bundle in sorted(_entries(folder.parse_logs / day)):
            for name, path in _logs_below(folder.parse_logs / day / bundle):
                if len(found) >= MOST_FILES:
                    return found
                found.setdefault(name, path)
    return found


def _entries(folder: Path) -> list[str]:
    """Name the folders in a folder, without links."""
    try:
        with os.scandir(folder) as entries:
            return [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _is_day(name: str) -> bool:
    try:
        date.fromisoformat(name)
    except ValueError:
        return False
    return True


def _logs_below(top: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            file = str(path.relative_to(top))
            # Others could not be shown, or would look like another one.
            if file.isprintable() and file.endswith(SUFFIX) and _is_regular(path):
                yield file.removesuffix(SUFFIX), path


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
