"""What the collector measured of a Deployment over time, as points of lines."""

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.core.errors import Invalid
from apps.observability.analytics.drawing import Chart
from apps.observability.analytics.pages import SupportsDrawing, analytics_of, rounded
from apps.observability.analytics.ranges import RANGES, Range, range_of

router = Router(by_alias=True, exclude_none=True, tags=["Analytics"])
SEE = "deployment.view"


class RangeQuery(Shape):
    """`range` is 1h, 24h, 7d or 30d and ends now; or `startDate` and `endDate`."""

    range: str = "24h"
    start_date: str = Field(default="", max_length=40)
    end_date: str = Field(default="", max_length=40)


class Mark(Shape):
    """A change of the Deployment, or an incident that opened. `kind` is deploy, revision, sleep or
    incident.
    """

    at: datetime
    kind: str
    title: str


class SeriesLine(Shape):
    """One value for each step of the series; null where nothing was measured."""

    label: str
    values: list[float | None]


class SeriesShape(Shape):
    """`begin` and `stepSeconds` tell the times. `unit` is count, seconds, bytes or cores."""

    key: str
    title: str
    unit: str
    begin: datetime
    step_seconds: int
    lines: list[SeriesLine]


class HistoryShape(Shape):
    begin: datetime
    end: datetime
    marks: list[Mark]
    series: list[SeriesShape]


class DeploymentHistory(HistoryShape):
    """`problem` is why the collector got no answer last, where it got none."""

    problem: str | None = None
    answered_at: datetime | None = None


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/history",
    auth=on_deployment(SEE),
    response=DeploymentHistory,
    exclude_none=False,
    operation_id="GetDeploymentHistory",
    summary="Get what was measured of a Deployment over time",
)
def get_history(request: Call, at: Path[AtDeployment], asked: Query[RangeQuery]) -> Any:
    found = analytics_of(deployment=request.found, shown=range_asked(asked))
    collection = found.collection
    return DeploymentHistory(
        **history_fields(found),
        problem=collection.last_error or None if collection else None,
        answered_at=collection.answered_at if collection else None,
    )


def range_asked(asked: RangeQuery) -> Range:
    """Read a range as the pages do. Raises Invalid for one that they would replace."""
    if not (asked.start_date or asked.end_date) and asked.range not in RANGES:
        raise Invalid(f"Choose one of {', '.join(RANGES)}.", field="range")
    query = {"range": asked.range}
    if asked.start_date or asked.end_date:
        query = {"from": asked.start_date, "to": asked.end_date}
    found = range_of(query, now=timezone.now())
    if found.problem:
        raise Invalid(found.problem, field="startDate")
    return found


def history_fields(drawing: SupportsDrawing) -> dict[str, Any]:
    """Describe the charts of a range, without how they are drawn."""
    return {
        "begin": drawing.range.begin,
        "end": drawing.range.end,
        "marks": [Mark(at=one.at, kind=one.kind, title=one.title) for one in drawing.marks],
        "series": [_series(chart) for chart in drawing.charts],
    }


def _series(chart: Chart) -> SeriesShape:
    return SeriesShape(
        key=chart.key,
        title=chart.title,
        unit=chart.unit,
        begin=datetime.fromtimestamp(chart.span.begin, UTC),
        step_seconds=chart.span.step,
        lines=[
            SeriesLine(label=line.label, values=[rounded(one, chart.unit) for one in line.values])
            for line in chart.lines
        ],
    )
