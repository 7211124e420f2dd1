"""The last runs of a DAG as bars: the height is how long a run took, the latest is on the right."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

SLOTS = 14
STEP, GROUND, LOWEST, HIGHEST = 10, 31, 5, 23
# Of a run that has not ended.
UNKNOWN = 14
TONES = {"success": "good", "failed": "bad", "running": "move", "queued": "move"}
WORDS = {"good": "succeeded", "bad": "failed", "move": "not finished", "idle": "other"}


@dataclass(frozen=True, kw_only=True)
class Area:
    """All bars of one tone as one path: a list of DAGs has hundreds of them."""

    tone: str
    path: str

    @property
    def is_open(self) -> bool:
        return self.tone == "move"


@dataclass(frozen=True, kw_only=True)
class RunBars:
    """`crosses` is a path over those that failed, `gaps` one of dots where there were no runs; ""
    without.
    """

    label: str
    areas: tuple[Area, ...]
    crosses: str
    gaps: str


def run_bars(runs: list[list[Any]]) -> RunBars | None:
    """Draw runs as `DagSummary.runs` has them, None without one. Pure."""
    if not runs:
        return None
    longest = max((run[2] or 0 for run in runs), default=0) or 1
    first = SLOTS - len(runs)
    tones = [TONES.get(run[0], "idle") for run in runs]
    bars = [_bar(first + place, run, longest) for place, run in enumerate(runs)]
    drawn = list(zip(tones, bars, strict=True))
    return RunBars(
        label=_label(tones),
        areas=tuple(
            Area(tone=tone, path="".join(path for of, (path, _) in drawn if of == tone))
            for tone in dict.fromkeys(tones)
        ),
        crosses="".join(cross for tone, (_, cross) in drawn if tone == "bad"),
        gaps="".join(f"M{place * STEP + STEP // 2} 28h0" for place in range(first)),
    )


def _bar(slot: int, run: list[Any], longest: float) -> tuple[str, str]:
    """Return a bar, and the cross above it, as paths: a broad stroke, or the edge of one that has
    not ended.
    """
    height = UNKNOWN if run[2] is None else round(LOWEST + (HIGHEST - LOWEST) * run[2] / longest)
    middle, top = slot * STEP + STEP // 2, GROUND - height
    cross = f"M{middle - 2.7:g} {top - 6}l5.4 4m0-4l-5.4 4"
    if TONES.get(run[0]) == "move":
        return f"M{middle - 3} {top}h6v{height}h-6z", cross
    return f"M{middle} {GROUND}V{top}", cross


def _label(tones: list[str]) -> str:
    counts = Counter(tones)
    if counts == {"good": len(tones)}:
        said = "all succeeded"
    else:
        said = ", ".join(f"{counts[tone]} {word}" for tone, word in WORDS.items() if counts[tone])
    count = "Last run" if len(tones) == 1 else f"Last {len(tones)} runs"
    return f"{count}: {said}. Latest on the right."
