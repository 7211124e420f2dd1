"""The last runs of a DAG as bars: the height is how long a run took, the latest is on the right."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

SLOTS = 14
STEP, WIDTH, GROUND, LOWEST, HIGHEST = 10, 7, 31, 5, 23
TONES = {"success": "good", "failed": "bad", "running": "move", "queued": "move"}
WORDS = {"good": "succeeded", "bad": "failed", "move": "not finished", "idle": "other"}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A run as a rectangle. `cross` is a path over one that failed, "" without."""

    tone: str
    x: float
    y: float
    width: int
    height: float
    cross: str

    @property
    def is_open(self) -> bool:
        return self.tone == "move"


@dataclass(frozen=True, kw_only=True)
class RunBars:
    """`gaps` are the places of runs that there were not."""

    label: str
    bars: tuple[Bar, ...]
    gaps: tuple[int, ...]


def run_bars(runs: list[list[Any]]) -> RunBars | None:
    """Draw runs as `DagSummary.runs` has them, None without one. Pure."""
    if not runs:
        return None
    longest = max((run[2] or 0 for run in runs), default=0) or 1
    first = SLOTS - len(runs)
    bars = [_bar(first + place, run, longest) for place, run in enumerate(runs)]
    return RunBars(
        label=_label(bars),
        bars=tuple(bars),
        gaps=tuple(place * STEP + STEP // 2 for place in range(first)),
    )


def _bar(slot: int, run: list[Any], longest: float) -> Bar:
    tone = TONES.get(run[0], "idle")
    height = round(LOWEST + (HIGHEST - LOWEST) * (run[2] or 0) / longest, 1)
    x, y = slot * STEP + 1.5, round(GROUND - height, 1)
    is_failed = tone == "bad"
    cross = f"M{x + 0.8} {y - 6}l5.4 4M{x + 6.2} {y - 6}l-5.4 4" if is_failed else ""
    return Bar(tone=tone, x=x, y=y, width=WIDTH, height=height, cross=cross)


def _label(bars: list[Bar]) -> str:
    counts = Counter(bar.tone for bar in bars)
    if counts == {"good": len(bars)}:
        said = "all succeeded"
    else:
        said = ", ".join(f"{counts[tone]} {word}" for tone, word in WORDS.items() if counts[tone])
    count = "Last run" if len(bars) == 1 else f"Last {len(bars)} runs"
    return f"{count}: {said}. Latest on the right."
