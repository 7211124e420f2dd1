"""The documents of the project, and what their Markdown holds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Command:
    """One command line, and the file that shows it."""

    document: str
    line: str


def documents() -> list[Path]:
    """List every Markdown file of the project."""
    top = [path for path in PROJECT.glob("*.md") if path.name != "CHANGELOG.md"]
    folders = ("docs", "templates", "runtime", "tests/cluster", ".github")
    below = [path for folder in folders for path in (PROJECT / folder).rglob("*.md")]
    return sorted([*top, *below])


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def shell_commands(path: Path) -> Iterator[Command]:
    """Yield what the fenced blocks of a file have people type, continued lines joined."""
    for _, language, text in FENCE.findall(path.read_text()):
        if language in ("sh", "bash", "shell", "console"):
            for line in re.sub(r"\\\n\s*", " ", text).splitlines():
                if line.strip() and not line.strip().startswith("#"):
                    yield Command(name_of(path), line.strip())


def inline_code(path: Path) -> Iterator[str]:
    """Yield what stands between backticks, outside of fenced blocks."""
    yield from CODE.findall(FENCE.sub("", path.read_text()))
