"""Ruff's rules for upgrades of Airflow, AIR301 and those after it, which Airflow's documentation
names as its check of DAG code: https://docs.astral.sh/ruff/rules/#airflow-air.

Ruff reads code and runs nothing of it. Files are hostile all the same: it is a process with limits,
takes no configuration of the project, and each file gets a name of ours.
"""

import json
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruff import find_ruff_bin

from apps.dataplane.errors import Permanent
from apps.dataplane.project_checks.processes import Limits, run
from apps.dataplane.untrusted import number_of, text_of

# What Airflow 3 removed, moved into providers, or takes with other arguments.
REMOVED = ("AIR301", "AIR302", "AIR303")
# What it still takes, and a later Airflow will not.
DEPRECATED = ("AIR311", "AIR312", "AIR321")
LIMITS = Limits(wall_seconds=60, cpu_seconds=60, memory_mib=4096, file_mib=16)
MOST_FILES = 5_000
MOST_FILE_BYTES = 1024**2
MOST_BYTES = 256 * 1024**2
MOST_ROWS = 400
NOT_CHECKED = "Ruff could not read the code within its limits of a minute and 4 GiB."
NO_ARCHIVE = "The archive with the code cannot be read. Deploy the code again."


@dataclass(frozen=True, kw_only=True)
class RuleHit:
    """A place in the code that a rule names; `message` says what to use instead."""

    file: str
    line: int
    rule: str
    message: str

    @property
    def is_removed(self) -> bool:
        return self.rule in REMOVED


def check_code(archive: Path) -> tuple[RuleHit, ...]:
    """Return what the rules say of the Python files of an archive of code, in its order; at most
    400. Raises Permanent where they could not be asked, or the archive cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="portal-rules-") as name:
        folder = Path(name)
        answer = folder / "answer.json"
        code = folder / "code"
        code.mkdir()
        try:
            names = _write_files(archive, code)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise Permanent(NO_ARCHIVE) from error
        if not names:
            return ()
        ended = run(
            [find_ruff_bin(), *_arguments(answer), str(code)],
            environment={"PATH": "", "HOME": name, "RAYON_NUM_THREADS": "2"},
            folder=folder,
            limits=LIMITS,
        )
        if ended.is_late or ended.status not in (0, 1) or not answer.is_file():
            raise Permanent(NOT_CHECKED)
        with answer.open(encoding="utf-8", errors="replace") as lines:
            rows = [_hit(line, names) for line, _ in zip(lines, range(MOST_ROWS), strict=False)]
    return tuple(row for row in rows if row)


def _arguments(answer: Path) -> tuple[str, ...]:
    return (
        *("check", "--isolated", "--no-cache", "--no-respect-gitignore", "--preview"),
        *("--select", ",".join((*REMOVED, *DEPRECATED)), "--output-format", "json-lines"),
        *("--output-file", str(answer)),
    )


def _write_files(archive: Path, folder: Path) -> dict[str, str]:
    """Write the Python files under numbers, and return the name of each."""
    names: dict[str, str] = {}
    total = 0
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            is_code = member.filename.endswith(".py") and member.file_size <= MOST_FILE_BYTES
            if not is_code or len(names) >= MOST_FILES or total > MOST_BYTES:
                continue
            with opened.open(member) as file:
                content = file.read(MOST_FILE_BYTES)
            total += len(content)
            name = f"{len(names):05}.py"
            (folder / name).write_bytes(content)
            names[name] = member.filename
    return names


def _hit(line: str, names: dict[str, str]) -> RuleHit | None:
    try:
        row: Any = json.loads(line)
        rule, file = row["code"], names[Path(row["filename"]).name]
        place = number_of(row["location"]["row"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if rule not in (*REMOVED, *DEPRECATED):
        return None  # a file that is no Python
    return RuleHit(file=text_of(file, 300), line=place or 0, rule=rule, message=_sentences(row))


def _sentences(row: dict[str, Any]) -> str:
    """Return what is wrong, and what to do about it where Ruff knows."""
    fix = row.get("fix")
    remedy = text_of(fix.get("message"), 300) if isinstance(fix, dict) else ""
    found = [text_of(row.get("message"), 300), remedy]
    return " ".join(f"{one.rstrip('.')}." for one in found if one)
