"""The lines that a run prints, and the file that keeps them."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).resolve().parent.parent / "bench-results" / "latest.json"
WIDTHS = (34, 26, 38, 12, 16)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One comparison. `ours` and `peer` carry their units; `is_met` is None without a goal."""

    name: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    goal: str = ""
    is_met: bool | None = None

    @property
    def verdict(self) -> str:
        if self.is_met is None:
            return ""
        return "met" if self.is_met else "SHORT"

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}x"
        columns = (self.name, self.ours, self.peer, ratio, self.goal)
        cells = [text.ljust(width) for text, width in zip(columns, WIDTHS, strict=True)]
        return "  ".join([*cells, self.verdict]).rstrip()


def at_most(limit: float, value: float) -> dict[str, object]:
    """Return the goal's words and whether it was met, for a ratio."""
    return {"goal": f"<= {limit:g}x", "is_met": value <= limit}


def at_least(limit: float, value: float) -> dict[str, object]:
    """Return the goal's words and whether it was met, for a ratio."""
    return {"goal": f">= {limit:g}x", "is_met": value >= limit}


def heading() -> str:
    columns = ("name", "ours", "beside it", "ratio", "goal")
    cells = [text.ljust(width) for text, width in zip(columns, WIDTHS, strict=True)]
    return "  ".join([*cells, "verdict"])


@dataclass(frozen=True, kw_only=True)
class Result:
    """One benchmark. `noise` says why its figures cannot be believed: then `lines` is empty, unless
    they were asked for all the same.
    """

    at: str
    lines: list[dict[str, Any]]
    notes: list[str]
    noise: list[str]


def result_of(lines: Sequence[Line], notes: Sequence[str], noise: Sequence[str]) -> Result:
    return Result(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        lines=[asdict(line) | {"verdict": line.verdict} for line in lines],
        notes=[note for note in notes if note not in noise],
        noise=list(noise),
    )


def save(results: Mapping[str, Result]) -> None:
    """Write results as JSON beside those of other benchmarks, with what comparing them needs."""
    RESULTS.parent.mkdir(exist_ok=True)
    before = json.loads(RESULTS.read_text()).get("results", {}) if RESULTS.exists() else {}
    new = {name: asdict(result) for name, result in results.items()}
    data = {"machine": machine_facts(), "results": before | new}
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")


def machine_facts() -> dict[str, str]:
    """Return what figures depend on, and nothing that tells which machine it was."""
    packages = ("django", "psycopg", "celery", "gunicorn", "kubernetes", "urllib3")
    return {
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
