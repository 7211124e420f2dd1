"""What the page of charts, its points and its download show, in a fixed number of statements."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from django.utils import timezone

from apps.deployments.models import Deployment
from apps.observability.analytics.charts import SHOWN, sections_of
from apps.observability.analytics.drawing import Chart, Section
from apps.observability.analytics.marks import Mark, marks_between
from apps.observability.analytics.ranges import Range
from apps.observability.history.models import Collection
from apps.observability.history.queries import lines, span_between

# Digits that a chart can show; more of them are bytes on the way.
DIGITS = {"count": 2, "seconds": 2, "bytes": 0, "cores": 3}


class SupportsDrawing(Protocol):
    """Charts over a range, with the changes in it."""

    @property
    def range(self) -> Range: ...

    @property
    def marks(self) -> Sequence[Mark]: ...

    @property
    def charts(self) -> Iterable[Chart]: ...


@dataclass(frozen=True, kw_only=True)
class Analytics:
    """The charts of a Deployment over a range, with the changes in it. `collection` is how asking
    it went last, None before the first time.
    """

    range: Range
    sections: list[Section]
    marks: list[Mark]
    collection: Collection | None
    has_queues: bool = False

    @property
    def charts(self) -> Iterator[Chart]:
        for section in self.sections:
            yield from section.charts


def analytics_of(*, deployment: Deployment, shown: Range) -> Analytics:
    """Return the charts of a Deployment for a range: four statements."""
    span = span_between(shown.begin, shown.end)
    found = lines(deployment_id=deployment.pk, span=span, metrics=SHOWN, now=shown.now)
    applied = deployment.applied or deployment.wanted
    configuration = applied.configuration if applied else None
    return Analytics(
        range=shown,
        sections=sections_of(
            found,
            queues=configuration.queues if configuration else (),
            executor=configuration.executor if configuration else "celery",
        ),
        marks=marks_between(deployment=deployment, begin=shown.begin, end=shown.end),
        collection=Collection.objects.filter(pk=deployment.pk).first(),
        has_queues=bool(configuration and configuration.queues),
    )


def points_of(analytics: SupportsDrawing) -> dict[str, Any]:
    """Return what the script of the page draws, as plain values for JSON. Times are seconds."""
    return {
        "begin": int(analytics.range.begin.timestamp()),
        "end": int(analytics.range.end.timestamp()),
        "zone": timezone.get_current_timezone_name(),
        "marks": [
            {"at": int(mark.at.timestamp()), "kind": mark.kind, "title": mark.title}
            for mark in analytics.marks
        ],
        "charts": [_points(chart) for chart in analytics.charts],
    }


def _points(chart: Chart) -> dict[str, Any]:
    return {
        "key": chart.key,
        "unit": chart.unit,
        "figure": chart.figure,
        "detail": chart.detail,
        "begin": chart.span.begin,
        "step": chart.span.step,
        "stacked": chart.is_stacked,
        "gaps": chart.gaps,
        "lines": [
            {
                "label": line.label,
                "tone": line.tone,
                "drawing": line.drawing,
                "values": [rounded(value, chart.unit) for value in line.values],
            }
            for line in chart.lines
        ],
    }


def rounded(value: float | None, unit: str) -> float | int | None:
    """Return a value of a chart with as many digits as its unit has; None is a gap."""
    if value is None:
        return None
    short = round(value, DIGITS[unit])
    return int(short) if short == int(short) else short


def csv_of(analytics: Analytics) -> str:
    """Return all points as a table: chart, line, time, value; gaps have no row."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["time", "chart", "line", "unit", "value"])
    for chart in analytics.charts:
        for line in chart.lines:
            for place, value in enumerate(line.values):
                if value is not None:
                    at = datetime.fromtimestamp(chart.span.begin + place * chart.span.step, UTC)
                    number = rounded(value, chart.unit)
                    row = [f"{at:%Y-%m-%dT%H:%M:%SZ}", _cell(chart.title), _cell(line.label)]
                    writer.writerow([*row, chart.unit, number])
    return text.getvalue()


def _cell(text: str) -> str:
    """Write a name that Airflow chose so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
