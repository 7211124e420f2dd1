"""Which minimum and maximum would have served a queue best. Pure.

A minute that a task waits and a minute that a worker runs count alike: the best settings are those
whose sum of both is the least. Tasks per worker and the cooldown stay as they are: the one depends
on the memory that tasks need, which these numbers do not know, the other holds for a whole data
plane.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from apps.core.words import duration_in_words
from apps.observability.scaling.simulation import Demand, Outcome, Settings, simulate

# Less than this is within what a replay cannot know.
WORTHWHILE = 0.05
# Fewer tasks tell too little.
LEAST_TASKS = 10


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Settings with the replay that speaks for them. With `is_change` False the present ones are
    the
    best of those tried; `why` says so or what they would have saved.
    """

    settings: Settings
    outcome: Outcome
    is_change: bool
    why: str


def cost(outcome: Outcome) -> float:
    """Return worker seconds and seconds of waiting together."""
    return outcome.workers.total() + outcome.waiting.total()


def recommend(demand: Demand, settings: Settings, *, most_workers: int) -> Recommendation:
    """Return the best settings of a few with at most `most_workers`, or the present ones."""
    present = simulate(demand, settings)
    if present.arrived < LEAST_TASKS:
        why = f"Fewer than {LEAST_TASKS} tasks arrived: too few to recommend anything."
        return Recommendation(settings=settings, outcome=present, is_change=False, why=why)
    best, outcome = settings, present
    for candidate in _candidates(demand, settings, most_workers):
        tried = simulate(demand, candidate)
        if cost(tried) < cost(outcome):
            best, outcome = candidate, tried
    if cost(outcome) > (1 - WORTHWHILE) * cost(present):
        why = "No other minimum and maximum would have done noticeably better."
        return Recommendation(settings=settings, outcome=present, is_change=False, why=why)
    return Recommendation(
        settings=best, outcome=outcome, is_change=True, why=_why(present, outcome)
    )


def _candidates(demand: Demand, settings: Settings, most_workers: int) -> Iterator[Settings]:
    tasks = [point.total for point in demand.points if point.tasks is not None]
    needed = sorted(math.ceil(count / settings.concurrency) for count in tasks)
    peak = max(1, min(most_workers, needed[-1] if needed else 1))
    middle = needed[len(needed) // 2] if needed else 0
    maxima = {settings.max_workers, peak, max(1, (settings.max_workers + peak) // 2)}
    minima = {settings.min_workers, 0, 1, min(middle, peak)}
    for most in sorted(maxima):
        for least in sorted(one for one in minima if one <= most):
            if (least, most) != (settings.min_workers, settings.max_workers):
                yield replace(settings, min_workers=least, max_workers=most)


def _why(present: Outcome, better: Outcome) -> str:
    hours = present.worker_hours - better.worker_hours
    waits = present.wait_seconds - better.wait_seconds
    told = [
        f"{abs(hours):.1f} worker hours {'less' if hours > 0 else 'more'}"
        if abs(hours) >= 0.05
        else "",
        f"a task would have waited {duration_in_words(abs(waits))} "
        f"{'less' if waits > 0 else 'longer'} on average"
        if abs(waits) >= 0.5
        else "",
    ]
    return f"In this range: {', '.join(one for one in told if one)}."
