"""The lines that a run prints, and the file that keeps them."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

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


def save(lines: Sequence[Line], notes: Sequence[str]) -> None:
    """Write the lines of this run as JSON, with what is needed to compare it with another."""
    RESULTS.parent.mkdir(exist_ok=True)
    data = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "n_cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "notes": list(notes),
        "lines": [asdict(line) | {"verdict": line.verdict} for line in lines],
    }
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")
