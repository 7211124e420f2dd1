"""Replay of a queue with other settings. Pure: from what there was to do to workers over time.

What is known of the past is how many tasks there were at some moments, and how many slots. From
this follows what arrived and what ended in between, if a task holds its slot for `task_seconds` on
average (Little's law: the time that slots were held, divided by how many tasks ended). The replay
lets the same tasks arrive and lets each slot, and each task, end as many as it did then. It applies
the rule of the autoscaler: as many workers as tasks need at once, fewer one cooldown after the last
moment that more were needed. With the slots that there were it arrives at the tasks that there
were, exactly.

Tasks are a quantity here, not things: parts of them run. Which worker a task runs on is not known
either, so none is kept beyond its cooldown by a task that lasts.
"""

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

NEARLY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What people can choose of a queue, and the cooldown of its data plane."""

    concurrency: int
    min_workers: int
    max_workers: int
    cooldown_seconds: int


@dataclass(frozen=True, kw_only=True)
class Point:
    """Queued and running tasks at a moment, in seconds since 1970, and the slots of workers that
    took
    tasks then; `tasks` is None from when on nothing is known. Without `slots` running tasks alone
    hold one.
    """

    at: float
    tasks: tuple[float, float] | None
    slots: float | None = None

    @property
    def total(self) -> float:
        return sum(self.tasks) if self.tasks else 0.0

    @property
    def held(self) -> float:
        """Slots that are held. A task that is being started counts as queued in Airflow."""
        running = self.tasks[1] if self.tasks else 0.0
        return running if self.slots is None else max(running, min(self.total, self.slots))

    @property
    def waiting(self) -> float:
        return self.total - self.held


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a queue had to do: queued and running tasks, from each point to the next one and from
    the last to `end`. `task_seconds` is how long a task holds a slot. `starts` are (moment,
    seconds) of how long workers needed until they took tasks, in the order of time; one without a
    moment near it takes as long as the nearest. With `keeps_peak` as many workers stay as were
    needed at most in the last cooldown, as the autoscaler of Kubernetes has it; else all stay until
    none was needed for one cooldown, as the keeper has it.
    """

    points: tuple[Point, ...]
    end: float
    task_seconds: float
    starts: tuple[tuple[float, float], ...] = ()
    keeps_peak: bool = False

    def start_seconds(self, at: float) -> float:
        """Return how long a worker that is started at a moment needs until it takes tasks."""
        return min(self.starts, key=lambda one: abs(one[0] - at), default=(0.0, 0.0))[1]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Values over time: each holds from its time to the next one; None is a gap."""

    times: tuple[float, ...]
    values: tuple[float | None, ...]
    end: float

    def at(self, moment: float) -> float | None:
        """Return the value at a moment, None before the first one and after the end."""
        place = bisect_right(self.times, moment) - 1
        return self.values[place] if place >= 0 and moment < self.end else None

    def total(self) -> float:
        """Return value times seconds, without gaps."""
        spans = zip(pairwise((*self.times, self.end)), self.values, strict=True)
        return sum((until - since) * (value or 0.0) for (since, until), value in spans)

    def peak(self) -> float:
        return max((value for value in self.values if value is not None), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a queue: workers that were started or ran, tasks that waited for a slot and that
    held one over time, and how many tasks arrived.
    """

    workers: Steps
    waiting: Steps
    held: Steps
    arrived: float

    @property
    def worker_hours(self) -> float:
        return self.workers.total() / 3600

    @property
    def wait_seconds(self) -> float:
        """How long a task waited on average (Little's law)."""
        return self.waiting.total() / self.arrived if self.arrived > NEARLY else 0.0


@dataclass(frozen=True, kw_only=True)
class _Interval:
    """What happened between two points: tasks that arrived and the share that was taken away; how
    many ended for each slot, and which share of the tasks, whichever is less. `total` is how many
    there were at its beginning, None for a gap.
    """

    begin: float
    end: float
    total: float | None
    came: float = 0.0
    removed: float = 0.0
    ended_per_slot: float = 0.0
    ended_share: float = 0.0

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def workers_needed(settings: Settings, *, tasks: float) -> int:
    """Return how many workers some tasks need: the formula of both data planes."""
    needed = math.ceil(math.floor(tasks + 0.5) / settings.concurrency)
    return max(settings.min_workers, min(settings.max_workers, needed))


def arrived(demand: Demand) -> float:
    """Return how many tasks arrived."""
    return sum(one.came for one in _intervals(demand))


def simulate(demand: Demand, settings: Settings, *, began_with: int | None = None) -> Outcome:
    """Return what would have come of a queue with these settings.

    `began_with` is how many workers ran at the beginning, None for as many as were needed.
    """
    replay = _Replay(demand, settings, began_with=began_with)
    for interval in _intervals(demand):
        replay.go_through(interval)
    return replay.outcome(demand.end)


def _intervals(demand: Demand) -> list[_Interval]:
    last = Point(at=demand.end, tasks=None)
    return [
        _interval(point, following, demand.task_seconds)
        for point, following in pairwise((*demand.points, last))
        if following.at > point.at
    ]


def _interval(point: Point, following: Point, task_seconds: float) -> _Interval:
    if point.tasks is None:
        return _Interval(begin=point.at, end=following.at, total=None)
    lengths = (following.at - point.at) / task_seconds
    before, held, waiting = point.total, point.held, point.waiting
    after = before if following.tasks is None else following.total
    came = max(0.0, after - before + held * lengths)
    all_of_them = before + came
    gone = all_of_them - after
    share = gone / all_of_them if all_of_them else 0.0
    usual = -math.expm1(-lengths)
    return _Interval(
        begin=point.at,
        end=following.at,
        total=before,
        came=came,
        # Nothing ran, and less waits: those were taken away, by a person for example.
        removed=0.0 if held else share,
        ended_per_slot=_per_slot(point, gone, lengths),
        # Of those that waited some would have ended, had there been slots for them.
        ended_share=max(share if held else 0.0, usual) if waiting else share,
    )


def _per_slot(point: Point, gone: float, lengths: float) -> float:
    """Return how many tasks end in a slot that is never empty. Where tasks waited, each slot that
    was held was such; else as many as usual, or as all slots together must have ended.
    """
    if not point.held:
        return lengths
    if point.waiting:
        return gone / point.held
    return max(gone / max(point.held, point.slots or 0.0), lengths)


class _Replay:
    """The state of a replay: tasks in the queue, and workers with when they take tasks."""

    def __init__(self, demand: Demand, settings: Settings, *, began_with: int | None) -> None:
        self.demand = demand
        self.settings = settings
        self.began_with = began_with
        self.tasks: float | None = None
        self.ready = 0
        self.starting: list[float] = []
        self.needed_at = 0.0
        # Until when how many were needed, the most first, in the order of time.
        self.peaks: deque[tuple[float, int]] = deque()
        self.arrived = 0.0
        self.told: list[tuple[float, float | None, float | None, float | None]] = []

    @property
    def workers(self) -> int:
        return self.ready + len(self.starting)

    def go_through(self, interval: _Interval) -> None:
        if interval.total is None:
            self.tasks = None
            self._tell(interval.begin)
            return
        if self.tasks is None:
            self._begin(interval.begin, interval.total)
        self.arrived += interval.came
        at = interval.begin
        while at < interval.end:
            needed = self._scale(at)
            self._tell(at)
            until = min(interval.end, self._next_change(at, needed))
            self._work(interval, until - at)
            self._remember(until, needed)
            at = until

    def _begin(self, at: float, tasks: float) -> None:
        needed = workers_needed(self.settings, tasks=tasks)
        before, self.began_with = self.began_with, None
        # Without knowledge of what came before, as many as were needed, and those that ran.
        most = self.settings.max_workers
        self.ready = needed if before is None else max(needed, min(before, most))
        self.tasks, self.starting, self.needed_at = tasks, [], at
        self.peaks = deque([(at, self.ready)])

    def _scale(self, at: float) -> int:
        """Apply the rule of the autoscaler; return how many workers are needed now."""
        self.ready += sum(up_at <= at + NEARLY for up_at in self.starting)
        self.starting = [up_at for up_at in self.starting if up_at > at + NEARLY]
        needed = workers_needed(self.settings, tasks=self.tasks or 0.0)
        if needed >= self.workers:
            self._start(at, needed - self.workers)
        else:
            kept = self._kept(at, needed)
            self.starting = self.starting[: max(0, kept - self.ready)]
            self.ready = min(self.ready, kept)
        return needed

    def _kept(self, at: float, needed: int) -> int:
        """Return how many workers stay of more than are needed."""
        cooldown = self.settings.cooldown_seconds
        if not self.demand.keeps_peak:
            return needed if at - self.needed_at >= cooldown - NEARLY else self.workers
        while self.peaks and self.peaks[0][0] <= at - cooldown + NEARLY:
            self.peaks.popleft()
        return max(needed, self.peaks[0][1] if self.peaks else 0)

    def _remember(self, until: float, needed: int) -> None:
        if needed >= self.workers:
            self.needed_at = until
        while self.peaks and self.peaks[-1][1] <= needed:
            self.peaks.pop()
        self.peaks.append((until, needed))

    def _start(self, at: float, count: int) -> None:
        seconds = self.demand.start_seconds(at) if count else 0.0
        if seconds:
            self.starting += [at + seconds] * count
        else:
            self.ready += count

    def _slots(self) -> float:
        return float(self.ready * self.settings.concurrency)

    def _next_change(self, at: float, needed: int) -> float:
        changes = list(self.starting)
        last = self.peaks[0][0] if self.demand.keeps_peak and self.peaks else self.needed_at
        calm_at = last + self.settings.cooldown_seconds
        if needed < self.workers and calm_at > at + NEARLY:
            changes.append(calm_at)
        return min(changes, default=math.inf)

    def _work(self, interval: _Interval, seconds: float) -> None:
        part = seconds / interval.seconds
        tasks = (self.tasks or 0.0) * (1 - interval.removed) ** part + interval.came * part
        by_slots = self._slots() * interval.ended_per_slot * part
        by_tasks = tasks * (1 - (1 - interval.ended_share) ** part)
        self.tasks = max(0.0, tasks - min(by_slots, by_tasks))

    def _tell(self, at: float) -> None:
        if self.tasks is None:
            self.told.append((at, None, None, None))
            return
        held = min(self.tasks, self._slots())
        self.told.append((at, float(self.workers), self.tasks - held, held))

    def outcome(self, end: float) -> Outcome:
        columns = list(zip(*self.told, strict=True)) or [(), (), (), ()]
        workers, waiting, held = (
            Steps(times=columns[0], values=values, end=end) for values in columns[1:]
        )
        return Outcome(workers=workers, waiting=waiting, held=held, arrived=self.arrived)
