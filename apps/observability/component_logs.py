"""Component logs for the page: read from the data plane, made safe to show, classified by level."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.core import signing

from apps.clusters.connections.planes import plane_for
from apps.dataplane.base import SupportsParseLogs
from apps.dataplane.status import LogLine, LogPage
from apps.deployments.models import Deployment

LINES_SHOWN = 500
# A level is found after reading, so more is read to have something left.
LINES_READ_FOR_A_LEVEL = 5_000
LINES_DOWNLOADED = 50_000
CHARACTERS_SHOWN = 4_000
FIRST_CHOICE = "scheduler"
DAG_PROCESSOR = "dag-processor"
Lines = tuple[LogLine, ...]
CURSOR_SALT = "observability.log-cursor"

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
# What the level filter keeps.
LEVELS: dict[str, frozenset[str]] = {
    "": frozenset({"", "warn", "bad"}),
    "warning": frozenset({"warn", "bad"}),
    "error": frozenset({"bad"}),
}


@dataclass(frozen=True, kw_only=True)
class ShownLine:
    id: str
    at: datetime | None
    text: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class ShownLog:
    """Lines oldest first. `cursor` asks for what came after; `is_cut`: there are older ones."""

    lines: tuple[ShownLine, ...]
    cursor: str
    is_cut: bool


@dataclass(frozen=True, kw_only=True)
class NewLines:
    """Lines as the data plane has them. `place` is where they end, the same for whoever read as
    far; `cursor` names it to a browser.
    """

    lines: Lines
    place: str
    cursor: str


def components_of(deployment: Deployment) -> tuple[str, ...]:
    """Name the components that have logs. Raises a DataPlaneError."""
    return plane_for(deployment.cluster).components(ref=deployment.ref)


def dag_files_of(deployment: Deployment) -> tuple[str, ...] | None:
    """Name the DAG files whose parse log can be read; None where the data plane reads none. Raises
    a DataPlaneError.
    """
    plane = plane_for(deployment.cluster)
    return plane.dag_files(ref=deployment.ref) if isinstance(plane, SupportsParseLogs) else None


def read_log(
    *,
    deployment: Deployment,
    component: str,
    contains: str,
    level: str,
    file: str = "",
    cursor: str = "",
) -> ShownLog:
    """Read the end of a component's log, or of the parse log of a DAG file, or what came after
    `cursor`. Raises a DataPlaneError.

    A cursor that this portal did not issue is ignored.
    """
    page = _read_page(
        deployment,
        component,
        file,
        cursor=place_of(cursor, deployment_id=deployment.pk, component=component, file=file),
        contains=contains,
        limit=LINES_READ_FOR_A_LEVEL if level else LINES_SHOWN,
    )
    kept = [line for line in shown_lines(page.lines) if line.tone in LEVELS[level]]
    return ShownLog(
        lines=tuple(kept[-LINES_SHOWN:]),
        cursor=_seal(deployment.pk, component, file, page.cursor),
        is_cut=page.is_truncated or len(kept) > LINES_SHOWN,
    )


def read_on(*, deployment: Deployment, component: str, file: str, place: str) -> NewLines:
    """Read what came after a place of the data plane, without choosing lines: for several readers
    at once. Raises a DataPlaneError.
    """
    page = _read_page(
        deployment, component, file, cursor=place, contains="", limit=LINES_READ_FOR_A_LEVEL
    )
    return NewLines(
        lines=page.lines,
        place=page.cursor,
        cursor=_seal(deployment.pk, component, file, page.cursor),
    )


def place_of(cursor: str, *, deployment_id: int, component: str, file: str) -> str:
    """Return the place of the data plane that a cursor names, "" if this portal did not issue it
    for this log.
    """
    try:
        found = signing.loads(cursor, salt=CURSOR_SALT) if cursor else None
    except signing.BadSignature:
        return ""
    if not found or found[:-1] != [deployment_id, component, file]:
        return ""
    return str(found[-1])


def _seal(deployment_id: int, component: str, file: str, place: str) -> str:
    return signing.dumps([deployment_id, component, file, place], salt=CURSOR_SALT, compress=True)


def kept_lines(lines: Lines, *, contains: str, level: str) -> list[ShownLine]:
    """Return the lines that hold a text, in any case, and have a level, the last ones of many."""
    found = [line for line in lines if contains.lower() in line.text.lower()]
    kept = [line for line in shown_lines(found) if line.tone in LEVELS[level]]
    return kept[-LINES_SHOWN:]


def log_as_text(*, deployment: Deployment, component: str, contains: str, file: str = "") -> str:
    """Return as much of a log's end as the data plane gives at once. Raises a DataPlaneError."""
    page = _read_page(deployment, component, file, contains=contains, limit=LINES_DOWNLOADED)
    return "".join(f"{visible(line.text)}\n" for line in page.lines)


def shown_lines(lines: Iterable[LogLine]) -> list[ShownLine]:
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
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        address = f"L{digest}-{seen[digest]}" if seen[digest] > 1 else f"L{digest}"
        text = STAMP.sub("", text) if line.at else text
        shown.append(ShownLine(id=address, at=line.at, text=_shortened(text), tone=tone))
    return shown


def visible(text: str) -> str:
    """Drop colors; escape control characters and marks that reorder text."""
    return UNSAFE.sub(_code, ESCAPES.sub("", text.replace("\r", "")))


def _read_page(
    deployment: Deployment,
    component: str,
    file: str,
    *,
    contains: str,
    limit: int,
    cursor: str = "",
) -> LogPage:
    plane = plane_for(deployment.cluster)
    if not (file and isinstance(plane, SupportsParseLogs)):
        return plane.logs(
            ref=deployment.ref, component=component, cursor=cursor, contains=contains, limit=limit
        )
    return plane.parse_log(
        ref=deployment.ref, file=file, cursor=cursor, contains=contains, limit=limit
    )


def _code(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def _shortened(text: str) -> str:
    rest = len(text) - CHARACTERS_SHOWN
    return f"{text[:CHARACTERS_SHOWN]} … {rest:,} more characters" if rest > 0 else text
