"""When Deployments slept or will: what that means for durations and deadlines is for others to say.

An app that knows of deadlines names them in `DEADLINE_SOURCES`; it lies above this one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apps.dataplane.hibernation.plans import HibernationPlan
from apps.dataplane.hibernation.turns import is_hibernating, next_turn
from apps.deployments.models import Deployment
from apps.hibernation.models import Sleep

Span = tuple[datetime, datetime]
# More turns than a week of ten schedules has, unless they turn all day.
MOST_SPANS, MOST_DEADLINES = 150, 20


@dataclass(frozen=True, kw_only=True)
class Asleep:
    """The stretches in which Deployments slept, by Deployment. Pure."""

    spans: Mapping[int, Sequence[Span]] = field(default_factory=dict)

    def is_at(self, deployment_id: int, moment: datetime) -> bool:
        """Return whether a Deployment slept at a moment, or had just been woken."""
        return is_in(self.spans.get(deployment_id, ()), moment)

    def seconds(self, deployment_id: int, begin: datetime, end: datetime) -> float:
        """Return for how many seconds of a stretch of time a Deployment slept."""
        shared = (
            (min(until, end) - max(since, begin)).total_seconds()
            for since, until in self.spans.get(deployment_id, ())
        )
        return sum(one for one in shared if one > 0)


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """A moment by which DAGs have to have succeeded, for one alert rule; `dags` are how many."""

    at: datetime
    rule: str
    dags: int


DEADLINE_SOURCES: list[Callable[[Deployment, datetime, datetime], Iterable[Deadline]]] = []


def asleep_in(*, deployment_ids: Iterable[int], since: datetime, now: datetime) -> Asleep:
    """Read when Deployments slept since a moment. One query, none without Deployments."""
    ids = list(deployment_ids)
    if not ids:
        return Asleep()
    rows = Sleep.objects.filter(deployment__in=ids, began_at__lt=now).exclude(ended_at__lt=since)
    spans: dict[int, list[Span]] = defaultdict(list)
    for pk, began, ended in rows.values_list("deployment_id", "began_at", "ended_at"):
        spans[pk].append((began, ended or now))
    return Asleep(spans=spans)


def planned_spans(plan: HibernationPlan, *, begin: datetime, end: datetime) -> list[Span]:
    """List the stretches up to `end` in which a plan lets a Deployment sleep, in order. Pure."""
    spans: list[Span] = []
    at, sleeps = begin, is_hibernating(plan, begin)
    while at < end and len(spans) < MOST_SPANS:
        turn = next_turn(plan, at)
        until = min(turn.at, end) if turn else end
        if sleeps:
            spans.append((at, until))
        at, sleeps = until, not sleeps
    return spans


def deadlines_asleep(deployment: Deployment, spans: Sequence[Span]) -> list[Deadline]:
    """List the deadlines that pass in some stretches of time, the earliest first, some at most."""
    if not spans:
        return []
    found = (
        one for source in DEADLINE_SOURCES for one in source(deployment, spans[0][0], spans[-1][1])
    )
    inside = [one for one in found if is_in(spans, one.at)]
    return sorted(inside, key=lambda one: (one.at, one.rule))[:MOST_DEADLINES]


def is_in(spans: Iterable[Span], moment: datetime) -> bool:
    """Return whether a moment lies in a stretch, both ends included."""
    return any(since <= moment <= until for since, until in spans)
