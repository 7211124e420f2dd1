"""Run things by turns and compare them round by round.

CPU time of this process is the measure and wall time stands beside it: on a machine that others use
too, wall times double from one run to the next, and CPU times stay within about 15 %.
"""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from django.db import connection

N_ROUNDS = 7


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, as the mean of a round, for each round."""

    cpu: tuple[float, ...]
    wall: tuple[float, ...]

    @property
    def cpu_ms(self) -> float:
        return median(self.cpu) * 1000

    @property
    def wall_ms(self) -> float:
        return median(self.wall) * 1000

    def __str__(self) -> str:
        return f"{self.cpu_ms:.2f} ms CPU ({self.wall_ms:.1f} wall)"


def by_turns(
    calls: Mapping[str, Callable[[], object]],
    *,
    n_calls: int | Mapping[str, int],
    n_rounds: int = N_ROUNDS,
) -> dict[str, Timing]:
    """Time each call `n_calls` times per round; the order turns by one from round to round."""
    counts = n_calls if isinstance(n_calls, Mapping) else dict.fromkeys(calls, n_calls)
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    wall: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for name in names:
        calls[name]()  # the first call fills caches
    for number in range(n_rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            cpu_seconds, wall_seconds = _time(calls[name], counts[name])
            cpu[name].append(cpu_seconds)
            wall[name].append(wall_seconds)
    return {name: Timing(tuple(cpu[name]), tuple(wall[name])) for name in names}


def _time(call: Callable[[], object], n_calls: int) -> tuple[float, float]:
    gc.collect()
    gc.disable()
    cpu_began, wall_began = time.process_time(), time.perf_counter()
    for _ in range(n_calls):
        call()
    cpu_ended, wall_ended = time.process_time(), time.perf_counter()
    gc.enable()
    return (cpu_ended - cpu_began) / n_calls, (wall_ended - wall_began) / n_calls


def ratio(ours: Timing, peer: Timing) -> tuple[float, tuple[float, float]]:
    """Return the median of the rounds' CPU ratios, and the least and the greatest of them."""
    ratios = [mine / other for mine, other in zip(ours.cpu, peer.cpu, strict=True)]
    return median(ratios), (min(ratios), max(ratios))


@contextmanager
def repeating(step: Callable[[], object], *, seconds: float) -> Iterator[None]:
    """Call `step` every so many seconds, in a thread of its own, until the block ends."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            step()
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
