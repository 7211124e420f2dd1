"""The log of one try of a task, by Airflow's REST API, made safe to show.

Source of the format: `TaskInstancesLogResponse` and `StructuredLogMessage` of Airflow's
`api_fastapi.core_api.datamodels.log`. A message has a time, a level, a text (`event`), perhaps the
stack of an exception (`error_detail`), and whatever else was logged with it. Tasks print what they
like: lines of megabytes, NUL, escape sequences, halves of characters.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.dags.airflow.api import AirflowApi, AirflowSilent
from apps.dags.airflow.tasks import task_path
from apps.dataplane.untrusted import UNSAFE, masked, moment_of, rows_of, storable, text_of

CHARACTERS_SHOWN = 4_000
# Of a message that is searched and cut into lines; a longer one is of no use on a page.
CHARACTERS_READ = 200_000
LINES_SHOWN = 1_000
MOST_FRAMES = 50
MOST_EXTRAS = 8
LONGEST_TOKEN = 4_000
TONES = {"warning": "warn", "error": "bad", "critical": "bad", "exception": "bad", "fatal": "bad"}
LEVELS = {"": ("", "warn", "bad"), "warning": ("warn", "bad"), "error": ("bad",)}
GROUP, END_GROUP = "::group::", "::endgroup::"
# What Airflow adds to every message, and what is shown in another way.
KNOWN = frozenset(
    {"timestamp", "event", "level", "logger", "error_detail", "chan", "loc", "filename", "lineno"}
)
SGR = re.compile(r"\x1b\[([0-9;]{0,40})m")
OTHER_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# Eight colors of terminals, as the tones of the page that have the contrast for words.
INKS = {1: "bad", 2: "good", 3: "warn", 4: "move", 5: "move", 6: "move"}


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line in one style: `ink` is a tone or "" for the usual color."""

    text: str
    ink: str = ""
    is_bold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`number` counts the lines that were read, from 1; `at` stands at the first of a message."""

    number: int
    at: datetime | None
    tone: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Lines that the task put under a title, folded unless something is wrong in them."""

    title: str
    lines: tuple[Line, ...]
    is_open: bool


@dataclass(frozen=True, kw_only=True)
class TaskLog:
    """`parts` are lines and groups; `token` asks Airflow for what comes after, "" when the try is
    over. `n_lines` were read, `is_cut`: earlier ones are not among the parts.
    """

    parts: tuple[Line | Group, ...]
    token: str
    n_lines: int
    n_shown: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Raw:
    number: int
    at: datetime | None
    tone: str
    text: str
    group: str
    is_title: bool = False


def read_log(
    airflow: AirflowApi,
    *,
    ids: tuple[str, str, str],
    map_index: int,
    try_number: int,
    contains: str = "",
    level: str = "",
    token: str = "",
) -> TaskLog:
    """Return the end of a try's log, or what came after `token`, which comes from an earlier one.

    `ids` are of DAG, run and task. With `contains` or `level` (a key of LEVELS) only such lines,
    and no groups. Raises AirflowSilent and NotInAirflow.
    """
    said = _ask(airflow, ids=ids, map_index=map_index, try_number=try_number, token=token)
    lines = list(_lines(said["content"], airflow.secrets))
    kept = [one for one in lines if one.text and _is_wanted(one, contains.lower(), level)]
    shown = kept[-LINES_SHOWN:]
    is_flat = bool(contains or level or token)
    parts = tuple(_line(one) for one in shown) if is_flat else tuple(_folded(shown))
    following = said.get("continuation_token")
    is_token = isinstance(following, str) and len(following) <= LONGEST_TOKEN
    return TaskLog(
        parts=parts,
        token=str(following) if is_token else "",
        n_lines=len(lines),
        n_shown=len(shown),
        is_cut=len(kept) > len(shown),
    )


def log_as_text(
    airflow: AirflowApi, *, ids: tuple[str, str, str], map_index: int, try_number: int
) -> Iterator[str]:
    """Yield the whole log of a try line by line, as text. Raises as `read_log`, at once."""
    said = _ask(airflow, ids=ids, map_index=map_index, try_number=try_number, token="")
    secrets = airflow.secrets
    return (
        f"{f'{line.at:%Y-%m-%dT%H:%M:%S%z} ' if line.at else ''}{plain(line.text)}\n"
        for line in _lines(said["content"], secrets, most=0)
    )


def _ask(
    airflow: AirflowApi,
    *,
    ids: tuple[str, str, str],
    map_index: int,
    try_number: int,
    token: str,
) -> dict[str, Any]:
    path = task_path(*ids, map_index=-1)
    said = airflow.get(*path, "logs", str(try_number), map_index=map_index, token=token)
    if not isinstance(said.get("content"), list):
        raise AirflowSilent("Airflow answered with something that cannot be read. Try again.")
    return said


def _lines(
    content: Iterable[object], secrets: tuple[str, ...], most: int = CHARACTERS_READ
) -> Iterator[_Raw]:
    """Yield the lines of messages. `most` cuts long messages, 0 none."""
    number, group = 0, ""
    for message in content:
        facts: dict[str, Any] = message if isinstance(message, dict) else {"event": message}
        event = facts.get("event")
        text = event if isinstance(event, str) else ""
        if text.startswith(END_GROUP):
            group = ""
            continue
        is_title = text.startswith(GROUP)
        if is_title:
            group = text_of(text.removeprefix(GROUP), 200) or "Group"
            text = group
        tone = TONES.get(str(facts.get("level")).lower(), "")
        at = moment_of(facts.get("timestamp"))
        for line in _texts(text, facts, most):
            number += 1
            yield _Raw(number, at, tone, masked(storable(line), secrets), group, is_title)
            at = None


def _texts(text: str, facts: dict[str, Any], most: int) -> Iterator[str]:
    if most and len(text) > most:
        text = f"{text[:most]} … {len(text) - most:,} more characters"
    extras = _extras(facts)
    first, *rest = text.replace("\r\n", "\n").split("\n")
    yield f"{first}{extras}"
    yield from rest
    yield from _stack(facts.get("error_detail"))


def _extras(facts: dict[str, Any]) -> str:
    """Write what was logged beside the text, as Airflow's own page does: name=value."""
    found = []
    for name, value in list(facts.items())[: len(KNOWN) + MOST_EXTRAS]:
        is_plain = isinstance(value, str | int | float | bool)
        if name not in KNOWN and is_plain:
            found.append(f" {text_of(name, 60)}={text_of(str(value)[:400], 200)}")
    return "".join(found[:MOST_EXTRAS])


def _stack(detail: object) -> Iterator[str]:
    """Write the stack of an exception as Python does, the cause first."""
    for error in reversed(rows_of(detail, 10)):
        yield "Traceback (most recent call last):"
        for frame in rows_of(error.get("frames"), MOST_FRAMES):
            file, name = text_of(frame.get("filename"), 300), text_of(frame.get("name"), 100)
            yield f'  File "{file}", line {text_of(str(frame.get("lineno")), 10)}, in {name}'
        kind, value = text_of(error.get("exc_type"), 100), str(error.get("exc_value"))
        yield from f"{kind}: {value[:CHARACTERS_SHOWN]}".split("\n")


def _is_wanted(line: _Raw, contains: str, level: str) -> bool:
    if line.tone not in LEVELS[level]:
        return False
    return not contains or contains in line.text.lower()


def _folded(lines: list[_Raw]) -> Iterator[Line | Group]:
    """Yield lines, and those of a group together."""
    place = 0
    while place < len(lines):
        group = lines[place].group
        end = place + 1
        while group and end < len(lines) and lines[end].group == group and not lines[end].is_title:
            end += 1
        if not group:
            yield _line(lines[place])
        else:
            inner = [one for one in lines[place:end] if not one.is_title]
            yield Group(
                title=group,
                lines=tuple(_line(one) for one in inner),
                is_open=any(one.tone == "bad" for one in inner),
            )
        place = end


def _line(line: _Raw) -> Line:
    return Line(number=line.number, at=line.at, tone=line.tone, spans=spans_of(line.text))


def spans_of(text: str) -> tuple[Span, ...]:
    """Cut a line where its color changes. Colors and bold are kept by an allow-list, every other
    sequence of a terminal is dropped, and control characters are written out. Pure.
    """
    rest = len(text) - CHARACTERS_SHOWN
    text = OTHER_ESCAPES.sub("", text[:CHARACTERS_SHOWN])
    spans, ink, is_bold = [], "", False
    for place, piece in enumerate(SGR.split(text)):
        if place % 2:
            ink, is_bold = _style(piece, ink, is_bold)
        elif piece:
            spans.append(Span(_visible(piece), ink, is_bold))
    if rest > 0:
        spans.append(Span(f" … {rest:,} more characters"))
    return tuple(spans)


def plain(text: str) -> str:
    """Return a line without colors, its control characters written out. Pure."""
    return _visible(OTHER_ESCAPES.sub("", SGR.sub("", text)))


def _style(codes: str, ink: str, is_bold: bool) -> tuple[str, bool]:
    """Read the numbers of a sequence. Those that another one explains (38 and 48) end it."""
    for code in codes.split(";"):
        number = int(code or 0) if len(code) < 4 else -1
        if number in (38, 48):
            return ink, is_bold
        if number == 0:
            ink, is_bold = "", False
        elif number in (1, 22):
            is_bold = number == 1
        elif 30 <= number <= 39:
            ink = INKS.get(number - 30, "")
        elif 90 <= number <= 97:
            ink = INKS.get(number - 90, "")
    return ink, is_bold


def _visible(text: str) -> str:
    return UNSAFE.sub(_code, text.replace("\r", ""))


def _code(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"
