"""Parts of the log of a task's try, by their place in bytes: however long a log is, one small piece
of it is read and sent.

Airflow's own API answers with a whole log each time. A log is a file of lines of JSON here: the one
that the task writes, where this process sees it; otherwise a copy of what Airflow gathers from a
worker or from several files. One that is a single object of a store is read there by ranges, and a
copy of one in Elasticsearch is made from there.
"""

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from airflow import logging_config
from airflow.configuration import AIRFLOW_HOME
from airflow.models import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.utils.log.file_task_handler import FileTaskHandler
from airflow.utils.log.log_reader import TaskLogReader
from portal_elastic_log import lines_of
from portal_log_parts import Limits, part_of
from portal_reading import bounded_session
from portal_stored_log import FOUND_IN, StoredLog
from sqlalchemy import select
from sqlalchemy.orm import joinedload

logger = logging.getLogger(__name__)

MOST_GATHERED, GATHER_SECONDS = 256 * 1024 * 1024, 8.0
MOST_COPIES, COPY_SECONDS = 4, 300.0
BREAKS_OFF = (
    b'{"level": "warning", "event": "The log goes on. Elasticsearch did not send the rest: reload '
    b'in five minutes."}\n'
)
GOING_ON = ("running", "deferred")
GOES_ON = (
    b'{"level": "warning", "event": "The log goes on. It is too long to be gathered from where '
    b'Airflow keeps it."}\n'
)


def part(
    *,
    ids: tuple[str, str, str, int],
    try_number: int,
    begin: int | None,
    end: int | None,
    limits: Limits,
    contains: str = "",
    level: str = "",
) -> dict[str, Any]:
    """Return lines of a log as `portal_log_parts.part_of`; `ids` are of DAG, run and task, and the
    map index. `is_over`: nothing follows. An unknown try is `{"is_known": False}`.
    """
    with bounded_session() as session:
        tried = _try(session, ids, try_number)
        if tried is None:
            return {"is_known": False}
        is_over = tried.try_number != try_number or tried.state not in GOING_ON
        own = _own_file(tried, try_number, session)
        stored = None if own else _stored(tried, try_number, session)
        path = None if stored else own or _copy(tried, try_number, is_over)
    asked = {"begin": begin, "end": end, "limits": limits, "contains": contains, "level": level}
    if path is None:
        found = part_of(stored, is_over=is_over, **asked)  # type: ignore[arg-type]
    else:
        with path.open("rb") as file:
            found = part_of(file, is_over=is_over, **asked)  # type: ignore[arg-type]
    return {**found, "is_over": is_over, "is_known": True}


def _try(session: Any, ids: tuple[str, str, str, int], try_number: int) -> Any:
    """Return the try as Airflow keeps it: the last one with the task, others in a history."""
    dag_id, run_id, task_id, map_index = ids
    for model in (TaskInstance, TaskInstanceHistory):
        query = select(model).where(
            model.dag_id == dag_id,
            model.run_id == run_id,
            model.task_id == task_id,
            model.map_index == map_index,
            model.try_number == try_number,
        )
        found = session.scalar(query.options(joinedload(model.dag_run)))
        if found is not None:
            return found
    return None


def _own_file(tried: Any, try_number: int, session: Any) -> Path | None:
    """Return the file of a log, if there is just one and this process sees it."""
    handler = TaskLogReader().log_handler
    if not isinstance(handler, FileTaskHandler) or try_number < 1:
        return None
    base = Path(os.path.realpath(handler.local_base))
    path = base / handler._render_filename(tried, try_number, session=session)
    try:
        named = [one for one in path.parent.iterdir() if one.name.startswith(path.name)]
    except OSError:
        return None
    found = [one for one in map(Path.resolve, named) if one.is_relative_to(base) and one.is_file()]
    return found[0] if len(found) == 1 else None


def _stored(tried: Any, try_number: int, session: Any) -> StoredLog | None:
    """Return a log that is one object of S3, Google Cloud Storage or Azure, None for any other:
    Airflow gathers that.
    """
    handler, store = TaskLogReader().log_handler, _store()
    find = FOUND_IN.get(type(store).__name__)
    if find is None or not isinstance(handler, FileTaskHandler) or try_number < 1:
        return None
    name = handler._render_filename(tried, try_number, session=session)
    try:
        return find(store, name)
    except Exception:
        # Whatever the store or the provider says, Airflow may know better.
        logger.warning("a log in an object store is not read by ranges", exc_info=True)
        return None


def _store() -> Any:
    """Return where Airflow keeps logs, None on disk; how it says so differs between versions."""
    known = getattr(logging_config, "get_remote_task_log", None)
    return known() if known else getattr(logging_config, "REMOTE_TASK_LOG", None)


def _copy(tried: Any, try_number: int, is_over: bool) -> Path:
    """Return a copy of what Airflow gathers, made now, or lately for a try that is over."""
    folder = Path(AIRFLOW_HOME) / "portal-logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    place = (tried.dag_id, tried.run_id, tried.task_id, tried.map_index, try_number)
    path = folder / hashlib.sha256(repr(place).encode()).hexdigest()
    if not (is_over and _age(path) < COPY_SECONDS):
        lines = _lines(tried, try_number, is_over)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            _gather(lines, file)  # type: ignore[arg-type]
        os.replace(file.name, path)
    others = sorted(folder.iterdir(), key=_age)
    for old in others[MOST_COPIES:]:
        old.unlink(missing_ok=True)
    return path


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def _lines(tried: Any, try_number: int, is_over: bool) -> Iterator[bytes]:
    """Yield the lines of a log from Elasticsearch, or else what Airflow gathers: it knows where the
    log of a running task is, and reads the first thousand lines of another.
    """
    store, is_found = _store(), False
    if is_over and type(store).__name__ == "ElasticsearchRemoteLogIO":
        try:
            for line in lines_of(store, tried, try_number):
                is_found = True
                yield line
        except Exception:  # the client of each image raises others, and the log goes on without it
            logger.warning("a log in Elasticsearch is not read to its end", exc_info=True)
            if is_found:
                yield BREAKS_OFF
    if is_found:
        return
    messages, _ = TaskLogReader().read_log_chunks(tried, try_number, {})  # type: ignore[typeddict-item]
    for message in messages:
        yield message.model_dump_json().encode("utf-8", "replace") + b"\n"  # type: ignore[union-attr]


def _gather(lines: Iterable[bytes], file: BinaryIO) -> None:
    until = time.monotonic() + GATHER_SECONDS
    for line in lines:
        file.write(line)
        if file.tell() > MOST_GATHERED or time.monotonic() > until:
            file.write(GOES_ON)
            return
