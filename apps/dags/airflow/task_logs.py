"""The log of one try of a task, read in parts: a page, a search or a step of a download costs the
same whatever the size of the log.

The portal's plugin in that Airflow (`runtime/plugins/portal_logs.py`) answers with lines of a part,
each a message as JSON. Places are bytes in the log, as it says them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from apps.dags.airflow.api import (
    UNKNOWN,
    UNREADABLE,
    AirflowApi,
    AirflowSilent,
    NotInAirflow,
    OldAirflow,
)
from apps.dags.airflow.log_lines import (
    Group,
    Line,
    RawLine,
    folded,
    is_wanted,
    line_of,
    plain,
    raw_lines,
)
from apps.dags.airflow.tasks import task_path

PATH = "/auth/portal/log"
LINES_SHOWN = 1_000
# Of the log as Airflow keeps it, for a page and for a step of a download.
BYTES_SHOWN, BYTES_OF_A_STEP = 512 * 1024, 2 * 1024 * 1024
MOST_LINES_OF_A_STEP = 100_000
MOST_DOWNLOADED = 2 * 1024**3
LARGEST = 2**60
ENDS_HERE = "The download ends here: "


@dataclass(frozen=True, kw_only=True)
class Try:
    """A try of a task: `ids` are of DAG, run and task, `map_index` is -1 unless it is mapped."""

    ids: tuple[str, str, str]
    map_index: int
    number: int


@dataclass(frozen=True, kw_only=True)
class TaskLog:
    """Lines and groups of a log from `begin` to `end` of its `size`, in bytes. `is_over`: the try
    has ended, so nothing follows. `is_cut`: lines of this part are left out. `is_whole`: an older
    plugin does not tell places, and all of the log was read.
    """

    parts: tuple[Line | Group, ...]
    begin: int
    end: int
    size: int
    is_over: bool
    is_cut: bool = False
    is_whole: bool = False

    @property
    def is_last(self) -> bool:
        return self.end >= self.size


@dataclass(frozen=True, kw_only=True)
class _Part:
    messages: list[object]
    begin: int
    end: int
    size: int
    is_over: bool


def read_log(
    airflow: AirflowApi,
    *,
    tried: Try,
    contains: str = "",
    level: str = "",
    begin: int | None = None,
    end: int | None = None,
) -> TaskLog:
    """Return the end of a log, or the lines from `begin` on, or those before `end`.

    With `contains` or `level` (a key of LEVELS) only such lines of what one answer searched, and no
    groups. Raises AirflowSilent and NotInAirflow.
    """
    narrow = {"contains": contains, "level": level}
    try:
        part = _part(
            airflow, tried, begin=begin, end=end, most=BYTES_SHOWN, lines=LINES_SHOWN, **narrow
        )
    except OldAirflow:
        part = _all_of_it(airflow, tried)
    kept = [
        one
        for one in raw_lines(part.messages, airflow.secrets)
        if one.text and is_wanted(one, contains.lower(), level)
    ]
    shown = kept[:LINES_SHOWN] if begin is not None else kept[-LINES_SHOWN:]
    is_flat = bool(contains or level or begin is not None)
    return TaskLog(
        parts=tuple(map(line_of, shown)) if is_flat else tuple(folded(shown)),
        begin=part.begin,
        end=part.end,
        size=part.size,
        is_over=part.is_over,
        is_cut=len(kept) > len(shown),
        is_whole=part.size == 0 and bool(part.messages),
    )


def log_as_text(airflow: AirflowApi, *, tried: Try) -> Iterator[str]:
    """Yield the whole log of a try as text, part by part, as far as it goes now. Raises as
    `read_log`, at once; a failure later is the last line.
    """
    try:
        first = _step(airflow, tried, 0)
    except OldAirflow:
        first = _all_of_it(airflow, tried)
    return _texts(airflow, tried, first)


def _texts(airflow: AirflowApi, tried: Try, part: _Part) -> Iterator[str]:
    until = min(part.size, MOST_DOWNLOADED)
    yield _text(part.messages, airflow.secrets)
    while part.end < until:
        try:
            part = _step(airflow, tried, part.end)
        except (AirflowSilent, NotInAirflow) as error:
            yield f"{ENDS_HERE}{error.message}\n"
            return
        yield _text(part.messages, airflow.secrets)
    if until < part.size and until == MOST_DOWNLOADED:
        yield f"{ENDS_HERE}it has 2 GB.\n"


def _step(airflow: AirflowApi, tried: Try, begin: int) -> _Part:
    return _part(
        airflow, tried, most=BYTES_OF_A_STEP, lines=MOST_LINES_OF_A_STEP, begin=begin, end=None
    )


def _text(messages: Iterable[object], secrets: tuple[str, ...]) -> str:
    return "".join(map(_text_of, raw_lines(messages, secrets, most=0)))


def _text_of(line: RawLine) -> str:
    at = f"{line.at:%Y-%m-%dT%H:%M:%S%z} " if line.at else ""
    return f"{at}{plain(line.text)}\n"


def _part(
    airflow: AirflowApi, tried: Try, *, begin: int | None, end: int | None, **asked: Any
) -> _Part:
    """Ask for a part. One that does not go on from `begin`, or up to `end`, is refused: whoever
    follows a lie would do so forever.
    """
    dag_id, run_id, task_id = tried.ids
    task_path(*tried.ids, map_index=tried.map_index)
    places = {"begin": begin, "end": end}
    said = airflow.report(
        PATH,
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=tried.map_index,
        try_number=tried.number,
        **{name: place for name, place in places.items() if place is not None},
        **asked,
    )
    if said.get("is_known") is False:
        raise NotInAirflow(UNKNOWN)
    text = said.get("text")
    size, first, last = (_place(said.get(name)) for name in ("size", "begin", "end"))
    goes_on = begin is None or (first == min(begin, size) and (last > first or last >= size))
    if not isinstance(text, str) or not first <= last <= size or not goes_on:
        raise AirflowSilent(UNREADABLE)
    return _Part(
        messages=[_message(line) for line in text.split("\n") if line],
        begin=first,
        end=last,
        size=size,
        is_over=said.get("is_over") is not False,
    )


def _place(value: object) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise AirflowSilent(UNREADABLE)
    return value


def _message(line: str) -> object:
    """Return a message; what is no JSON was printed by something else than Airflow."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def _all_of_it(airflow: AirflowApi, tried: Try) -> _Part:
    """Read a whole log by Airflow's own API: its plugin is of an older portal."""
    path = task_path(*tried.ids, map_index=-1)
    said = airflow.get(*path, "logs", str(tried.number), map_index=tried.map_index)
    if not isinstance(said.get("content"), list):
        raise AirflowSilent(UNREADABLE)
    return _Part(messages=said["content"], begin=0, end=0, size=0, is_over=True)
