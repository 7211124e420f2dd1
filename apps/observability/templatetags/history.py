"""The last 24 hours of Deployments as small bars, for pages of the apps below."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol, TypeVar, cast

from django import template
from django.core.cache import caches
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from apps.deployments.models import Deployment
from apps.observability.history.queries import Hour, runs_by_hour

register = template.Library()

# Units of the drawing: an hour is this wide, and the highest bar this high.
WIDTH, GAP, HEIGHT = 10, 2, 40
KEPT = 2_000
BAD, UNKNOWN = ' data-tone="bad"', '<span class="muted">No figures</span>'
# Bars of hours need not be younger.
KEPT_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One rectangle of the drawing."""

    tone: str
    x: int
    y: float
    height: float


class HasRef(Protocol):
    """What a list shows of a Deployment, as far as this needs it."""

    @property
    def ref(self) -> str: ...


class DrawnRow(HasRef, Protocol):
    """A row whose other cells are drawn."""

    @property
    def tone(self) -> str: ...
    @property
    def cells(self) -> SafeString: ...


Row = TypeVar("Row", bound=HasRef)


@register.inclusion_tag("observability/_day.html")
def last_day(deployment: Deployment) -> dict[str, object]:
    """Show the DAG runs of the last 24 hours, nothing where none of them is known."""
    hours = runs_by_hour(refs=[deployment.ref], now=timezone.now())[deployment.ref]
    ended, failed = _sums(hours)
    return {
        "deployment": deployment,
        "is_known": any(hour is not None for hour in hours),
        "ended": ended,
        "failed": failed,
        "drawing": drawn(tuple(hours)),
    }


@register.simple_tag
def last_days(rows: Sequence[Row]) -> list[tuple[Row, SafeString | str]]:
    """Return each row of a list with the drawing of its last 24 hours, "" where nothing is known of
    them. One statement in a minute for the same rows, however many people poll them.
    """
    if not rows:
        return []
    refs = [row.ref for row in rows]
    digest = blake2b("\n".join(refs).encode(), digest_size=16).hexdigest()
    key = f"last-days:{digest}"
    stored = caches["process"].get_or_set(key, lambda: _texts(refs), KEPT_SECONDS)
    known = cast(Mapping[str, str], stored)
    return [(row, _drawn_text(known[row.ref])) for row in rows]


@register.simple_tag
def rows_with_last_day(rows: Sequence[DrawnRow]) -> SafeString:
    """Join the rows of the list of Deployments, each with its drawing. A loop of the template would
    cost as much as the rest of the page.
    """
    return SafeString(
        "\n".join(
            f"<tr{BAD if row.tone == 'bad' else ''}>{row.cells}"
            f'<td data-label="Last 24 h">{day or UNKNOWN}</td></tr>'
            for row, day in last_days(rows)
        )
    )


def _texts(refs: Sequence[str]) -> dict[str, str]:
    """Write the hours of Deployments as text, "" where none is known: what is cached is data."""
    found = runs_by_hour(refs=refs, now=timezone.now())
    return {ref: json.dumps(hours) if any(hours) else "" for ref, hours in found.items()}


@lru_cache(maxsize=KEPT)
def _drawn_text(text: str) -> SafeString | str:
    hours: list[list[int] | None] = json.loads(text) if text else []
    return drawn(tuple(None if one is None else (int(one[0]), int(one[1])) for one in hours))


def _sums(hours: Sequence[Hour]) -> tuple[int, int]:
    known = [hour for hour in hours if hour is not None]
    return sum(map(sum, known)), sum(failed for _, failed in known)


def drawn(hours: tuple[Hour, ...]) -> SafeString | str:
    """Return hours as a drawing, "" where nothing is known."""
    if not any(hour is not None for hour in hours):
        return ""
    ended, failed = _sums(hours)
    context = {
        "ended": ended,
        "failed": failed,
        "bars": bars_of(hours),
        "width": len(hours) * WIDTH,
        "bar_width": WIDTH - GAP,
        "height": HEIGHT,
    }
    return render_to_string("observability/_hours.html", context)


def bars_of(hours: Sequence[Hour]) -> list[Bar]:
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
