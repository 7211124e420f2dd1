"""Something that ends and is made anew before: once for all threads of a process.

    fresh -- time passes --> due -- made anew --> fresh
                             due -- cannot be made --> due, used on until it ends --> ended

Whoever finds it due makes the next one; others go on with the present one meanwhile. While it
cannot be made, it is not asked for more often than the pause allows.
"""

import random
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from apps.dataplane.errors import DataPlaneError

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 60.0
DISTRUST_SECONDS = 30.0
MOST_KEPT = 1000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Lasting(Generic[Value]):
    """A value, when to make the next one, and when it ends: seconds since the epoch."""

    value: Value
    renew_at: float
    ends_at: float


@dataclass
class _Slot(Generic[Value]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    current: Lasting[Value] | None = None
    error: DataPlaneError | None = None
    failures: int = 0
    retry_at: float = 0.0
    made_at: float = 0.0


class Renewing(Generic[Key, Value]):
    """Values by key, each made by `make` and kept until it is due."""

    def __init__(
        self,
        make: Callable[[Key, float], Lasting[Value]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._make = make
        self.clock = clock
        self.restart()

    def restart(self) -> None:
        """Forget everything, locks included: for a process that was forked."""
        self._lock = threading.Lock()
        self._slots: dict[Key, _Slot[Value]] = {}

    def get(self, key: Key) -> Value:
        """Return a value that has not ended. Raises what `make` raised while there is none."""
        slot = self._slot(key)
        now = self.clock()
        usable = _usable(slot, now)
        if usable is not None and not _is_due(slot, now):
            return usable.value
        # With a usable value no thread waits for the one that makes the next.
        if not slot.lock.acquire(blocking=usable is None):
            return usable.value  # type: ignore[union-attr]  # blocking without one
        try:
            return self._renewed(key, slot)
        finally:
            slot.lock.release()

    def is_fresh(self, key: Key) -> bool:
        """Whether `get` returns at once."""
        slot, now = self._slot(key), self.clock()
        return _usable(slot, now) is not None and not _is_due(slot, now)

    def peek(self, key: Key) -> Value | None:
        """Return what is kept, whether it has ended or not."""
        current = self._slot(key).current
        return None if current is None else current.value

    def forget(self, key: Key) -> None:
        """Make a new one next time."""
        with self._lock:
            self._slots.pop(key, None)

    def distrust(self, key: Key) -> None:
        """Make a new one next time, unless this one is younger than the pause: it was refused."""
        slot = self._slot(key)
        if self.clock() - slot.made_at >= DISTRUST_SECONDS:
            slot.current = None

    def try_again(self, key: Key) -> None:
        """Do not wait for the pause after a failure: a person asks."""
        slot = self._slot(key)
        slot.error, slot.retry_at = None, 0.0

    def _renewed(self, key: Key, slot: _Slot[Value]) -> Value:
        now = self.clock()
        usable = _usable(slot, now)
        if usable is not None and not _is_due(slot, now):
            return usable.value
        if slot.error is not None and now < slot.retry_at:
            raise slot.error.with_traceback(None)
        try:
            slot.current, slot.made_at = self._make(key, now), now
        except DataPlaneError as error:
            slot.failures += 1
            slot.retry_at = now + _pause(slot.failures)
            slot.error = error
            if usable is None:
                raise
            return usable.value
        slot.error, slot.failures, slot.retry_at = None, 0, 0.0
        return slot.current.value

    def _slot(self, key: Key) -> _Slot[Value]:
        slot = self._slots.get(key)
        if slot is not None:
            return slot
        with self._lock:
            while len(self._slots) >= MOST_KEPT:
                del self._slots[next(iter(self._slots))]
            return self._slots.setdefault(key, _Slot())


def _usable(slot: _Slot[Value], now: float) -> Lasting[Value] | None:
    current = slot.current
    return current if current is not None and now < current.ends_at else None


def _is_due(slot: _Slot[Value], now: float) -> bool:
    return slot.current is None or now >= max(slot.current.renew_at, slot.retry_at)


def _pause(failures: int) -> float:
    # Randomness spreads load here; it is no security measure.
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1))
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - see above
