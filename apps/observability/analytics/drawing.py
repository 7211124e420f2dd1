"""What a chart is made of, and how its figures are written. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from apps.core.words import bytes_in_words, duration_in_words
from apps.observability.history.queries import Line, Span

Drawing = Literal["bars", "area", "line", "dashes", "step", "limit"]
Unit = Literal["count", "seconds", "bytes", "cores"]
# Of one kind no more are drawn; the others are named below them.
MOST_OF_A_KIND = 12


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One line of a chart. `tone` is a tone of the design, `values` are in the chart's unit."""

    label: str
    tone: str
    drawing: Drawing
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """`figure` is what is read first, `detail` goes on from there. `is_stacked`: the lines that are
    bars or areas stand on top of each other.
    """

    key: str
    title: str
    unit: Unit
    span: Span
    lines: tuple[Drawn, ...]
    figure: str
    detail: str
    note: str = ""
    is_stacked: bool = False
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def per(self) -> str:
        """The length of a point in words: "5 min", "2 h"."""
        words = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
        size, word = next(one for one in words if self.span.step % one[0] == 0)
        return f"{self.span.step // size} {word}"


@dataclass(frozen=True, kw_only=True)
class Section:
    """Charts that are read together, under one title."""

    key: str
    title: str
    charts: tuple[Chart, ...]
    note: str = ""
    rest: int = 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """Lines by metric and label."""

    lines: Mapping[tuple[str, str], Line] = field(default_factory=dict)

    def get(self, metric: str, label: str = "") -> Line | None:
        return self.lines.get((metric, label))

    def labels(self, *metrics: str) -> list[str]:
        """Return the labels of some metrics, those of the highest values first."""
        most: dict[str, float] = {}
        for (metric, label), line in self.lines.items():
            if metric in metrics:
                most[label] = max(most.get(label, 0.0), highest(line.values) or 0.0)
        return sorted(most, key=lambda label: (-most[label], label))


def known(*charts: Chart | None) -> tuple[Chart, ...]:
    """Return the charts of which something is known."""
    return tuple(chart for chart in charts if chart is not None)


def section_of(key: str, title: str, charts: Sequence[Chart | None], *, note: str = "") -> Section:
    """Return a section with the first of its charts, and how many more there would be."""
    drawn = known(*charts)
    return Section(
        key=key,
        title=title,
        charts=drawn[:MOST_OF_A_KIND],
        note=note,
        rest=max(0, len(drawn) - MOST_OF_A_KIND),
    )


def make_chart(
    lines: Sequence[Drawn],
    *,
    key: str,
    title: str,
    unit: Unit,
    span: Span,
    figure: str,
    detail: str,
    note: str = "",
    is_stacked: bool = False,
    has_gaps: bool = True,
) -> Chart:
    """Return a chart, with its gaps."""
    return Chart(
        key=key,
        title=title,
        unit=unit,
        span=span,
        lines=tuple(lines),
        figure=figure,
        detail=detail,
        note=note,
        is_stacked=is_stacked,
        # Nothing ended is no gap: durations have none of their own.
        gaps=gaps_of(lines, span) if has_gaps else (),
    )


def gaps_of(lines: Sequence[Drawn], span: Span) -> tuple[tuple[int, int], ...]:
    """Return from when to when no line has a value, in seconds since 1970."""
    shown = [line.values for line in lines if line.drawing != "limit"]
    found: list[tuple[int, int]] = []
    # By columns, each told by what counts in C: a page looks at ten thousand points.
    columns = zip(*shown, strict=True) if shown else [()] * span.size
    for place, column in enumerate(columns):
        if column.count(None) < len(column):
            continue
        at = span.begin + place * span.step
        if found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + span.step)
        else:
            found.append((at, at + span.step))
    return tuple(found)


def drawn_as(line: Line, label: str, tone: str, drawing: Drawing) -> Drawn:
    """Return how a line is drawn."""
    return Drawn(label=label, tone=tone, drawing=drawing, values=line.values)


def scaled_to(line: Line, label: str, tone: str, drawing: Drawing, factor: float) -> Drawn:
    """Return how a line in another unit is drawn."""
    values = tuple(None if value is None else value * factor for value in line.values)
    return Drawn(label=label, tone=tone, drawing=drawing, values=values)


def highest(values: Sequence[float | None]) -> float | None:
    """Return the highest value, None where none is known."""
    return max((value for value in values if value is not None), default=None)


def newest(line: Line | None) -> float | None:
    """Return the newest value, if it is one of the last points: an older one is not now."""
    values = line.values[-3:] if line else ()
    return next((value for value in reversed(values) if value is not None), None)


def newest_count(line: Line | None) -> str:
    """Write the newest value, or that it is unknown."""
    value = newest(line)
    return "unknown" if value is None else f"{value:,.0f}"


def newest_or_unknown(line: Line, written: Callable[[float], str]) -> str:
    """Write the newest value by `written`, or that it is unknown."""
    value = newest(line)
    return "Unknown now" if value is None else written(value)


def seconds_text(value: float) -> str:
    """Write a duration."""
    return f"{value:.1f} s" if value < 10 else duration_in_words(value)


def bytes_text(value: float) -> str:
    """Write a size."""
    return bytes_in_words(int(value))


def cores_text(millis: float) -> str:
    """Write thousandths of a CPU."""
    return f"{millis / 1000:.2f} CPU"
