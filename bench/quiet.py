"""Whether the machine is quiet enough to measure on.

A figure that was taken while other programs ran says more about them than about the portal: it is
refused instead of reported. What is looked at is the time that processors spend on anything else
while this process rests, and whether the same small piece of work takes the same time again and
again. The load average is told, and not judged: it remembers the measurement before.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from statistics import median, quantiles

import psutil

REST_SECONDS = 2.0
MOST_BUSY = 0.10
N_PIECES = 25
MOST_VARIATION = 0.25
MOST_CONTROL_SPREAD = 0.30
_DATA = bytes(2**20)


class Noise(str):
    """A sentence that says why a figure cannot be believed."""

    __slots__ = ()


def machine_noise(*, settles_within: float = 0) -> list[Noise]:
    """Look at the machine for some seconds and return what speaks against measuring on it.

    What just ended may need a moment: within `settles_within` seconds it is looked at again.
    """
    until = time.monotonic() + settles_within
    while True:
        pieces = [_piece() for _ in range(N_PIECES)]
        noise = [note for note in (busy_noise(_busy_share()), uneven_noise(pieces)) if note]
        if not noise or time.monotonic() > until:
            return noise


def control_noise(control: Sequence[float]) -> list[Noise]:
    """Return what speaks against a run whose control, taken once a round, varied too much."""
    spread = (max(control) - min(control)) / median(control)
    if spread <= MOST_CONTROL_SPREAD:
        return []
    return [
        Noise(f"the control varied by {spread:.0%} between rounds ({MOST_CONTROL_SPREAD:.0%} may)")
    ]


def busy_noise(share: float) -> Noise | None:
    if share <= MOST_BUSY:
        return None
    return Noise(
        f"other programs use {share:.0%} of the processors ({MOST_BUSY:.0%} may), "
        f"load average {os.getloadavg()[0]:.1f}"
    )


def uneven_noise(seconds: Sequence[float]) -> Noise | None:
    """Compare the slow pieces with the quickest: nine of ten must come near it."""
    slow = quantiles(seconds, n=10)[-1]
    variation = slow / min(seconds) - 1
    if variation <= MOST_VARIATION:
        return None
    return Noise(
        f"the same work takes up to {variation:.0%} longer than at best ({MOST_VARIATION:.0%} may)"
    )


def _busy_share() -> float:
    """Return the share of all processors that others than this process and its children use."""
    busy, own, began = _busy_seconds(), _own_seconds(), time.perf_counter()
    time.sleep(REST_SECONDS)
    used = _busy_seconds() - busy - (_own_seconds() - own)
    return max(0.0, used) / (time.perf_counter() - began) / (os.cpu_count() or 1)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0))


def _own_seconds() -> float:
    seconds = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:2])
    return seconds


def _piece() -> float:
    began = time.perf_counter()
    for _ in range(8):
        sha256(_DATA).digest()
    return time.perf_counter() - began
