"""Lines of logs as pages show them: level, an address of their own, nothing that acts. Pure."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from apps.dataplane.status import LogLine

CHARACTERS_SHOWN = 4_000

ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
STAMP = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s*")
# Airflow writes "[error    ]" (structlog) and "ERROR" (everything that uses logging).
LEVEL = re.compile(
    r"\[(debug|info|warning|error|exception|critical)\s*\]"
    r"|\b(DEBUG|INFO|WARNING|ERROR|EXCEPTION|CRITICAL|FATAL)\b"
)
TONES = {
    "debug": "",
    "info": "",
    "warning": "warn",
    "error": "bad",
    "exception": "bad",
    "critical": "bad",
    "fatal": "bad",
}


@dataclass(frozen=True, kw_only=True)
class ShownLine:
    """`source` names the component where lines of several stand together."""

    id: str
    at: datetime | None
    text: str
    tone: str
    source: str = ""


def shown_lines(lines: Iterable[LogLine], *, source: str = "") -> list[ShownLine]:
    """Dress lines for the page. A line without a level has that of the one before."""
    shown: list[ShownLine] = []
    seen: dict[str, int] = {}
    tone = ""
    for line in lines:
        text = visible(line.text)
        found = LEVEL.search(text[:200])
        if found:
            tone = TONES[(found[1] or found[2]).lower()]
        elif line.at or text.startswith("Traceback "):
            tone = "bad" if text.startswith("Traceback ") else ""
        # A line keeps its address while more are written around it.
        digest = hashlib.sha256(f"{source}{text}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        address = f"L{digest}-{seen[digest]}" if seen[digest] > 1 else f"L{digest}"
        text = STAMP.sub("", text) if line.at else text
        shown.append(
            ShownLine(id=address, at=line.at, text=_shortened(text), tone=tone, source=source)
        )
    return shown


def visible(text: str) -> str:
    """Drop colors; escape control characters and marks that reorder text."""
    return UNSAFE.sub(_code, ESCAPES.sub("", text.replace("\r", "")))


def _code(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def _shortened(text: str) -> str:
    rest = len(text) - CHARACTERS_SHOWN
    return f"{text[:CHARACTERS_SHOWN]} … {rest:,} more characters" if rest > 0 else text
