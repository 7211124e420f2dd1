"""Messages of a task's log as lines that are safe to show. Pure.

Source of the format: `StructuredLogMessage` of Airflow's `api_fastapi.core_api.datamodels.log`. A
message has a time, a level, a text (`event`), perhaps the stack of an exception (`error_detail`),
and whatever else was logged with it. Tasks print what they like: lines of megabytes, NUL, escape
sequences, halves of characters.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.dataplane.untrusted import UNSAFE, masked, moment_of, rows_of, storable, text_of

CHARACTERS_SHOWN = 4_000
# Of a message that is searched and cut into lines; a longer one is of no use on a page.
CHARACTERS_READ = 200_000
MOST_FRAMES = 50
MOST_EXTRAS = 8
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
    """`at` stands at the first line of a message."""

    at: datetime | None
    tone: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Lines that the task put under a title, folded unless something is wrong in them."""

    title: str
    lines: tuple[Line, ...]
    is_open: bool


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line as it was logged, without secrets; `group` is the title that it is under."""

    at: datetime | None
    tone: str
    text: str
    group: str
    is_title: bool = False


def raw_lines(
    messages: Iterable[object], secrets: tuple[str, ...], most: int = CHARACTERS_READ
) -> Iterator[RawLine]:
    """Yield the lines of messages; what is no object is a text. `secrets` are masked, `most` cuts
    long messages, 0 none.
    """
    group = ""
    for message in messages:
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
            yield RawLine(at, tone, masked(storable(line), secrets), group, is_title)
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


def is_wanted(line: RawLine, contains: str, level: str) -> bool:
    """Return whether a line holds `contains`, in small letters, and is of a level of LEVELS."""
    if line.tone not in LEVELS[level]:
        return False
    return not contains or contains in line.text.lower()


def folded(lines: list[RawLine]) -> Iterator[Line | Group]:
    """Yield lines to show, and those of a group together."""
    place = 0
    while place < len(lines):
        group = lines[place].group
        end = place + 1
        while group and end < len(lines) and lines[end].group == group and not lines[end].is_title:
            end += 1
        if not group:
            yield line_of(lines[place])
        else:
            inner = [one for one in lines[place:end] if not one.is_title]
            yield Group(
                title=group,
                lines=tuple(line_of(one) for one in inner),
                is_open=any(one.tone == "bad" for one in inner),
            )
        place = end


def line_of(line: RawLine) -> Line:
    """Return a line to show."""
    return Line(at=line.at, tone=line.tone, spans=spans_of(line.text))


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
