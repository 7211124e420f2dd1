"""What happened to a queue, put together from measurements and decisions. Pure.

Measurements come every 30 seconds, decisions when they change; each brings the tasks of its moment,
so both together say more precisely what there was to do than either alone.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from apps.observability.history.metrics import RAW
from apps.observability.history.models import RecordedDecision
from apps.observability.history.queries import Line
from apps.observability.scaling.simulation import (
    Demand,
    Outcome,
    Point,
    Settings,
    Steps,
    arrived,
)

Tasks = tuple[float, float] | None
# Of two measurements that follow each other, in steps.
LONGEST_STEP = 1.7
NEXT_MOMENT = 0.001
# Where nothing has ended by which it could be measured.
USUAL_TASK_SECONDS = 60.0
SHORTEST_TASK_SECONDS = 1.0
LONGEST_START_SECONDS = 900.0
# A task does not hold a slot for more than this many times as long as it runs.
LONGEST_START = 5.0


def demand_of(
    *,
    queued: Line | None,
    running: Line | None,
    ready: Line | None,
    decisions: Sequence[RecordedDecision],
    end: float,
    seconds: Line | None = None,
    keeps_peak: bool = False,
) -> Demand:
    """Return what a queue had to do. `decisions` are in the order of time; `seconds` are how long
    after the beginning of its step each measurement was taken, where that is known.
    """
    line = running or queued
    step = line.span.step if line else RAW
    points = dict(_without_short_gaps(_measured(queued, running, seconds), step))
    known = _Known(points)
    for one in decisions:
        at = one.at.timestamp()
        # In a gap a decision tells of its moment alone.
        if known.at(at) and one.queued is not None and one.running is not None:
            points[at] = (float(one.queued), float(one.running))
    slots = _Slots(decisions, ready)
    return Demand(
        points=tuple(
            Point(at=at, tasks=points[at], slots=slots.at(at)) for at in sorted(points) if at < end
        ),
        end=end,
        task_seconds=USUAL_TASK_SECONDS,
        starts=starts_of(decisions),
        keeps_peak=keeps_peak,
    )


def _without_short_gaps(
    measured: Iterable[tuple[float, Tasks]], step: int
) -> Iterator[tuple[float, Tasks]]:
    """Yield measurements, and where a gap begins. Two that are little more than a step apart have
    none between them, although one of them may have come just after the end of its own step.
    """
    last, gap = None, None
    for at, tasks in measured:
        if tasks is None:
            gap = at if gap is None else gap
            continue
        if gap is not None and (last is None or at - last > LONGEST_STEP * step):
            yield (gap if last is None else max(gap, last + NEXT_MOMENT)), None
        yield at, tasks
        last, gap = at, None
    if gap is not None:
        yield (gap if last is None else max(gap, last + NEXT_MOMENT)), None


class _Known:
    """Whether anything is known at a moment."""

    def __init__(self, points: Mapping[float, Tasks]) -> None:
        self.times = sorted(points)
        self.values = [points[at] is not None for at in self.times]

    def at(self, moment: float) -> bool:
        place = bisect_right(self.times, moment) - 1
        return place >= 0 and self.values[place]


class _Slots:
    """Slots of the workers that took tasks: as decided, else as measured."""

    def __init__(self, decisions: Sequence[RecordedDecision], ready: Line | None) -> None:
        self.decisions = decisions
        self.times = [one.at.timestamp() for one in decisions]
        self.ready = ready

    def at(self, moment: float) -> float | None:
        place = bisect_right(self.times, moment) - 1
        if place < 0:
            return None
        one = self.decisions[place]
        ready = self._measured(moment) if one.ready is None else one.ready
        return None if ready is None else float(ready * one.concurrency)

    def _measured(self, moment: float) -> float | None:
        line = self.ready
        if line is None or not line.span.begin <= moment < line.span.end:
            return None
        return line.values[int(moment - line.span.begin) // line.span.step]


def with_task_seconds(demand: Demand, *, running_seconds: float | None) -> Demand:
    """Return the demand with how long a task holds its slot: as long as it runs, and until it has
    been started.
    """
    if running_seconds is None:
        return demand
    points = [*demand.points, Point(at=demand.end, tasks=None)]
    held = ran = 0.0
    for point, following in zip(points, points[1:], strict=False):
        seconds = following.at - point.at
        held += point.held * seconds
        ran += (point.tasks[1] if point.tasks else 0.0) * seconds
    longer = min(held / ran, LONGEST_START) if ran else 1.0
    return replace(demand, task_seconds=max(SHORTEST_TASK_SECONDS, running_seconds * longer))


def _measured(
    queued: Line | None, running: Line | None, seconds: Line | None
) -> Iterator[tuple[float, Tasks]]:
    line = running or queued
    if line is None:
        return
    empty = (None,) * len(line.values)
    waiting = queued.values if queued else empty
    working = running.values if running else empty
    taken = seconds.values if seconds and seconds.span == line.span else empty
    for place, (some, others) in enumerate(zip(waiting, working, strict=True)):
        at = line.span.begin + place * line.span.step + (taken[place] or 0.0)
        is_known = some is not None or others is not None
        yield at, ((some or 0.0, others or 0.0) if is_known else None)


def workers_of(
    *, workers: Line | None, decisions: Sequence[RecordedDecision], begin: float, end: float
) -> Steps:
    """Return how many workers ran or were starting: as decided, before the first decision as
    measured. A decision to start or to stop some counts at once.
    """
    known: dict[float, float | None] = {}
    first = decisions[0].at.timestamp() if decisions else end
    if workers is not None:
        for place, value in enumerate(workers.values):
            at = float(workers.span.begin + place * workers.span.step)
            if begin <= at < first:
                known[at] = value
    for one in decisions:
        count = one.wanted if one.reason in ("up", "down") else one.workers
        known[max(begin, one.at.timestamp())] = float(count)
    times = sorted(at for at in known if at < end)
    return Steps(times=tuple(times), values=tuple(known[at] for at in times), end=end)


def outcome_of(demand: Demand, workers: Steps) -> Outcome:
    """Return what came of the queue in truth, in the terms of a replay."""
    times = tuple(point.at for point in demand.points)

    def steps(read: Callable[[Point], float]) -> Steps:
        values = tuple(None if one.tasks is None else read(one) for one in demand.points)
        return Steps(times=times, values=values, end=demand.end)

    return Outcome(
        workers=workers,
        waiting=steps(lambda point: point.waiting),
        held=steps(lambda point: point.held),
        arrived=arrived(demand),
    )


def task_seconds_of(*, running: Iterable[Line], ended: Iterable[Line]) -> float | None:
    """Return how long a task of the Deployment runs: the time that tasks of all queues ran
    together,
    divided by how many ended. None where none has ended.
    """
    ran = sum(line.span.step * sum(value or 0.0 for value in line.values) for line in running)
    count = sum(sum(value or 0.0 for value in line.values) for line in ended)
    if not count or not ran:
        return None
    return max(SHORTEST_TASK_SECONDS, ran / count)


def starts_of(decisions: Sequence[RecordedDecision]) -> tuple[tuple[float, float], ...]:
    """Return when workers were started and how many seconds passed until as many took tasks as ran,
    the oldest first.
    """
    found, began_at = [], 0.0
    for one in decisions:
        at = one.at.timestamp()
        if one.reason == "up":
            began_at = began_at or at
        elif began_at and one.ready is not None and one.ready >= max(one.workers, 1):
            found.append((began_at, min(at - began_at, LONGEST_START_SECONDS)))
            began_at = 0.0
    return tuple(found)


def settings_of(decision: RecordedDecision) -> Settings:
    """Return the settings that a decision was made with."""
    return Settings(
        concurrency=max(1, decision.concurrency),
        min_workers=decision.min_workers,
        max_workers=max(decision.max_workers, decision.min_workers),
        cooldown_seconds=decision.cooldown_seconds,
    )


def settings_changed(decisions: Sequence[RecordedDecision]) -> list[datetime]:
    """Return when the settings changed: a replay uses those of the end for the whole time."""
    pairs = zip(decisions, decisions[1:], strict=False)
    return [after.at for before, after in pairs if settings_of(before) != settings_of(after)]
