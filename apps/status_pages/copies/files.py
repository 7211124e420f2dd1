"""All files of a page, and how they are packed into a row."""

import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from apps.status_pages.copies import feeds, html, machine
from apps.status_pages.copies.content import PageContent

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
SHEETS = ("tokens.css", "status.css")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".atom": "application/atom+xml; charset=utf-8",
    ".rss": "application/rss+xml; charset=utf-8",
    ".ics": "text/calendar; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class File:
    """One file of a copy: its content type and what is in it."""

    type: str
    text: str


def files_of(content: PageContent, *, takes_subscriptions: bool) -> dict[str, File]:
    """Write every file of a page; return them by their names below its address."""
    sheet = stylesheet()
    href = f"status.css?{hashlib.sha256(sheet.encode()).hexdigest()[:8]}"
    found = {
        "index.html": html.index(
            content, stylesheets=[href], takes_subscriptions=takes_subscriptions
        ),
        "history.html": html.history(content, stylesheets=[href]),
        "status.css": sheet,
        "history.atom": feeds.atom(content).decode(),
        "history.rss": feeds.rss(content).decode(),
        "maintenance.ics": machine.calendar(content),
        "badge.svg": machine.badge(content),
        **machine.json_files(content),
    }
    return {name: File(TYPES[Path(name).suffix], text) for name, text in found.items()}


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """Return the one sheet of a page: the tokens of the portal, and what the page needs itself."""
    folder = Path(settings.BASE_DIR) / "static" / "css"
    text = COMMENT.sub("", "\n".join((folder / name).read_text() for name in SHEETS))
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def packed(files: Mapping[str, File]) -> bytes:
    """Write files into one value for a row."""
    return zlib.compress(json.dumps({name: file.text for name, file in files.items()}).encode(), 6)


def unpacked(data: bytes) -> dict[str, File]:
    """Read what `packed` wrote."""
    texts = json.loads(zlib.decompress(data))
    return {name: File(TYPES[Path(name).suffix], text) for name, text in texts.items()}
