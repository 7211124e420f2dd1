"""How long a pass may still change something: no longer than it holds its lease.

A worker that was suspended and resumed finds its time over and stops. The clock is the machine's
own, which goes on while a process is stopped. Threads of a pool do not inherit the limit: give them
a copy of the context.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from apps.dataplane.errors import Temporary

_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)


class TooLate(Temporary):
    """The lease of this pass ends, so another worker may hold the Deployment by now."""


@contextmanager
def writing_until(ends_at: float) -> Iterator[None]:
    """Let `check` pass until `time.monotonic()` is `ends_at`."""
    token = _ends_at.set(ends_at)
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left() -> float:
    """Return how long this pass may still write, `inf` outside of a pass."""
    return max(0.0, _ends_at.get() - time.monotonic())


def check() -> None:
    """Raise TooLate when this pass may write no more. Planes call it before every write."""
    if seconds_left() <= 0:
        raise TooLate("This pass took too long. The next one continues where it stopped.")
