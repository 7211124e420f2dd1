"""The last 24 hours of a Deployment as one small bar, for pages of the apps below."""

from collections.abc import Sequence
from dataclasses import dataclass

from django import template
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.observability.history.queries import runs_by_hour

register = template.Library()

# Units of the drawing: an hour is this wide, and the highest bar this high.
WIDTH, GAP, HEIGHT = 10, 2, 40


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One rectangle of the drawing."""

    tone: str
    x: int
    y: float
    height: float


@register.inclusion_tag("observability/_day.html")
def last_day(deployment: Deployment) -> dict[str, object]:
    """Show the DAG runs of the last 24 hours, nothing where none of them is known."""
    hours = runs_by_hour(deployment_ids=[deployment.pk], now=timezone.now())[deployment.pk]
    known = [hour for hour in hours if hour is not None]
    return {
        "deployment": deployment,
        "is_known": bool(known),
        "ended": sum(sum(hour) for hour in known),
        "failed": sum(failed for _, failed in known),
        "bars": bars_of(hours),
        "width": len(hours) * WIDTH,
        "bar_width": WIDTH - GAP,
        "height": HEIGHT,
    }


def bars_of(hours: Sequence[tuple[int, int] | None]) -> list[Bar]:
    """Return the rectangles of some hours: failed on succeeded, a low one for a gap. Pure."""
    most = max((sum(hour) for hour in hours if hour is not None), default=0) or 1
    bars = []
    for place, hour in enumerate(hours):
        if hour is None:
            bars.append(Bar(tone="idle", x=place * WIDTH, y=HEIGHT - 2, height=2))
            continue
        top = float(HEIGHT)
        for tone, count in zip(("good", "bad"), hour, strict=True):
            height = round(count / most * HEIGHT, 2)
            top -= height
            if count:
                bars.append(Bar(tone=tone, x=place * WIDTH, y=round(top, 2), height=height))
    return bars
