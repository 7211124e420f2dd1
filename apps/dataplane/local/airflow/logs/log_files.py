"""Read the log files that supervisord writes, forward from an offset, across their rotation."""

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from apps.dataplane.local.airflow.programs import CORE, program_name, worker_name
from apps.dataplane.local.layout import Folder
from apps.dataplane.status import LogLine, LogPage

OLD_LOGS_KEPT = 20
MAX_FILE_BYTES = 10 * 1024**2
MAX_READ_BYTES = 1024**2
BYTES_PER_LINE = 400
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[@-Z\\-_]")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
STAMP = re.compile(r"^\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)")


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Whole lines of one file. `end` is the byte after them, `inode` the file they are of."""

    lines: list[str]
    inode: int
    end: int
    is_cut: bool


def component_names(folder: Folder, queues: list[str]) -> tuple[str, ...]:
    """Name the components that have logs: those of Airflow itself, then the workers by queue."""
    logged = {
        name.queue
        for path in folder.process_logs.glob("worker-*.log")
        if (name := worker_name(path.stem))
    }
    ordered = [*queues, *sorted(logged - set(queues))]
    return (*CORE, *(f"worker {queue}" for queue in ordered))


def read_page(folder: Folder, *, component: str, cursor: str, contains: str, limit: int) -> LogPage:
    """Return the last `limit` lines, or those after `cursor`; a queue's workers together."""
    return read_files(
        _files(folder, component), name=component, cursor=cursor, contains=contains, limit=limit
    )


def read_files(
    paths: Sequence[Path],
    *,
    name: str,
    cursor: str,
    contains: str,
    limit: int,
    as_text: Callable[[str], str] = str,
) -> LogPage:
    """Return the last `limit` lines of some files, or those after `cursor`, as lines of `name`;
    `as_text` makes a line readable.
    """
    places = _parse_cursor(cursor)
    lines: list[LogLine] = []
    is_truncated = False
    for path in paths:
        inode, offset = places.get(path.name, (0, 0))
        # A search covers all that may be read, not only the lines that would be shown.
        tail_limit = MAX_READ_BYTES if contains else limit
        try:
            chunk = (
                _read_after(path, inode, offset)
                if path.name in places
                else _read_tail(path, tail_limit)
            )
        except OSError:
            # It does not exist any more, or is a link by now.
            continue
        places[path.name] = (chunk.inode, chunk.end)
        is_truncated = is_truncated or chunk.is_cut
        lines += [_line(name, as_text(text)) for text in chunk.lines]
    if contains:
        lines = [line for line in lines if contains.lower() in line.text.lower()]
    lines = _in_order(lines)
    return LogPage(
        lines=tuple(lines[-limit:]),
        cursor=json.dumps(places, separators=(",", ":")),
        is_truncated=is_truncated or len(lines) > limit,
    )


def last_lines(folder: Folder, component: str, limit: int) -> tuple[str, ...]:
    """Return the last lines of a component as plain text."""
    page = read_page(folder, component=component, cursor="", contains="", limit=limit)
    return tuple(line.text for line in page.lines)


def last_lines_since(folder: Folder, starts: Mapping[str, datetime], limit: int) -> tuple[str, ...]:
    """Return the last lines that some processes wrote, by program → when it started.

    A file outlives the process that wrote it: what an earlier one wrote ends with the last line
    that carries an earlier time.
    """
    found: list[str] = []
    for component, started_at in starts.items():
        chunk = _tail_if_any(folder.process_logs / f"{component}.log", limit)
        lines = [_line(component, text) for text in chunk.lines] if chunk else []
        earlier = [n for n, line in enumerate(lines) if line.at and line.at < started_at]
        found += [line.text for line in lines[earlier[-1] + 1 if earlier else 0 :]]
    return tuple(found[-limit:])


def prune(folder: Folder, *, kept: Collection[str]) -> None:
    """Remove the logs of workers that are gone, except the newest; `kept` names programs that
    exist.
    """
    gone = [
        path
        for path in folder.process_logs.glob("worker-*.log*")
        if program_name(folder.ref, path.name.partition(".log")[0]) not in kept
    ]
    gone.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in gone[OLD_LOGS_KEPT:]:
        path.unlink(missing_ok=True)


def remove_old(folder: Folder, *, now: float, task_log_days: int, parse_log_hours: int) -> None:
    """Remove logs of tasks and of DAG files that nothing has been written to since; `now` is a Unix
    time.

    The log of a DAG file gets the output of every parse, several times a minute, so it is also
    emptied when it is large.
    """
    for path in _written_before(folder.task_logs, now - task_log_days * 86_400):
        path.unlink(missing_ok=True)
    for path in _written_before(folder.parse_logs, now - parse_log_hours * 3600):
        path.unlink(missing_ok=True)
    for path in _written_before(folder.parse_logs, now + 1):
        # It may have gone by now.
        with suppress(FileNotFoundError):
            if path.stat().st_size > MAX_FILE_BYTES:
                os.truncate(path, 0)
    for top in (folder.task_logs, folder.parse_logs):
        _remove_empty_folders(top, before=now - 86_400)


def _written_before(top: Path, moment: float) -> Iterator[Path]:
    """Yield the files below a folder that were last written before a moment. Links are neither
    followed nor yielded, and what goes meanwhile is left out: tasks write there.
    """
    for folder, _, names in os.walk(top):
        for path in (Path(folder, name) for name in names):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_mtime < moment:
                yield path


def _remove_empty_folders(top: Path, *, before: float) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        path = Path(folder)
        # A task may have begun to write there just now, or have removed it.
        with suppress(OSError):
            if path != top and path.lstat().st_mtime < before and not any(path.iterdir()):
                path.rmdir()


def shorten(folder: Folder) -> None:
    """Move a worker's log to `<name>.1` when it is too large: supervisord does not rotate these
    files.

    The worker appends to the file it has open, so the file stays and is emptied.
    """
    for path in folder.process_logs.glob("worker-*.log"):
        if path.stat().st_size > MAX_FILE_BYTES:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def clean(text: str) -> str:
    """Remove colors, control characters and marks that reorder text on a screen."""
    return CONTROLS.sub("", ESCAPES.sub("", text.replace("\r", "")))


def _files(folder: Folder, component: str) -> list[Path]:
    if not component.startswith("worker "):
        return [folder.process_logs / f"{component}.log"] if "/" not in component else []
    queue = component.removeprefix("worker ")
    names = {
        path: worker_name(path.stem) for path in sorted(folder.process_logs.glob("worker-*.log"))
    }
    return [path for path, name in names.items() if name and name.queue == queue]


def _read_tail(path: Path, limit: int) -> Chunk:
    with _opened(path) as stream:
        size = stream.seek(0, 2)
        start = max(0, size - min(MAX_READ_BYTES, limit * BYTES_PER_LINE))
        stream.seek(start)
        data = stream.read(size - start)
        inode = os.fstat(stream.fileno()).st_ino
    if start:
        data = data[data.find(b"\n") + 1 :]
    lines, rest_bytes = _whole_lines(data)
    is_cut = bool(start) or len(lines) > limit
    return Chunk(lines=lines[-limit:], inode=inode, end=size - rest_bytes, is_cut=is_cut)


def _tail_if_any(path: Path, limit: int) -> Chunk | None:
    try:
        return _read_tail(path, limit)
    except FileNotFoundError:
        return None


def _read_after(path: Path, inode: int, offset: int) -> Chunk:
    """Read on; after a rotation first the rest of the old file, which is now called `<name>.1`."""
    current = _inode(path)
    size = path.stat().st_size
    lines: list[str] = []
    is_cut = False
    if current != inode or size < offset:
        rotated = path.with_name(f"{path.name}.1")
        # Renamed by supervisord, or copied and emptied by `shorten`.
        is_same = rotated.exists() and inode in (_inode(rotated), current)
        lines += _read_from(rotated, offset)[0] if is_same else []
        is_cut = not is_same
        offset = 0
    more, end = _read_from(path, offset)
    return Chunk(lines=lines + more, inode=current, end=end, is_cut=is_cut)


def _read_from(path: Path, offset: int) -> tuple[list[str], int]:
    with _opened(path) as stream:
        stream.seek(offset)
        data = stream.read(MAX_READ_BYTES)
    lines, rest_bytes = _whole_lines(data)
    if rest_bytes == MAX_READ_BYTES:
        return [data.decode("utf-8", "replace")], offset + rest_bytes
    return lines, offset + len(data) - rest_bytes


def _opened(path: Path) -> BinaryIO:
    """Open a file, but not what a link leads to: code of DAGs may write beside our logs."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _whole_lines(data: bytes) -> tuple[list[str], int]:
    """Split into complete lines; the number of bytes of an incomplete last one is returned with
    them.
    """
    complete, newline, rest = data.rpartition(b"\n")
    if not newline:
        return [], len(data)
    return [line.decode("utf-8", "replace") for line in complete.split(b"\n")], len(rest)


def _line(component: str, text: str) -> LogLine:
    text = clean(text)
    match = STAMP.match(text)
    return LogLine(at=_time(match[1]) if match else None, component=component, text=text)


def _time(stamp: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(stamp.replace(",", "."))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _in_order(lines: list[LogLine]) -> list[LogLine]:
    """Merge the lines of several workers by time; a line without a time stays with the one before
    it.
    """
    last = datetime.min.replace(tzinfo=UTC)
    keyed = []
    for line in lines:
        last = line.at or last
        keyed.append((last, line))
    return [line for _, line in sorted(keyed, key=lambda pair: pair[0])]


def _inode(path: Path) -> int:
    return path.stat().st_ino


def _parse_cursor(cursor: str) -> dict[str, tuple[int, int]]:
    try:
        places = json.loads(cursor) if cursor else {}
        return {str(name): (int(inode), int(offset)) for name, (inode, offset) in places.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}
