"""The notifier: evaluates every few seconds, and sends what is due.

    every second ──▶ 5 s since the last sweep? ──▶ open incidents of what changed
          │                                                  │
          │                                                  ▼
          │                                                sweep ──▶ alerts and messages, in rows
          │                                                                       │
          └──▶ take channels with due messages ◀──────────────────────────────────┘
                     └──▶ one thread each, 16 at most ──▶ send ──▶ write what came of it

A sweep is one's alone by an advisory lock, a channel by its lease.
"""

import logging
import time
from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from apps.alerts.deliveries import outbox
from apps.alerts.sweeping.sweep import Swept, sweep
from apps.observability.collecting.beside import SendingLoop
from apps.observability.incidents.changed import ChangedDeployments

logger = logging.getLogger(__name__)

# What the portal itself sees is told within 10 seconds, sending included.
SWEEP_SECONDS, DEADLINE_SECONDS = 5.0, 60.0


class Notifier(SendingLoop):
    """Works until it is stopped, in the thread that calls `run`."""

    most_threads = 16

    def __init__(self) -> None:
        super().__init__()
        self._changed = ChangedDeployments()
        self._next_sweep_at = self._next_deadlines_at = 0.0

    def work(self) -> None:
        now = time.monotonic()
        if now >= self._next_sweep_at:
            self._next_sweep_at = now + SWEEP_SECONDS
            self._open_incidents()
            swept = self._sweep(now)
            if swept.is_behind or self._changed.is_behind:
                self._next_sweep_at = now

    def take_due(self, *, most: int) -> Iterable[tuple[int, datetime]]:
        return outbox.take_due(most=most)

    def empty(self, receiver_id: int, lease: datetime) -> None:
        outbox.empty_channel(channel_id=receiver_id, lease=lease)

    def _open_incidents(self) -> None:
        try:
            self._changed.evaluate(now=timezone.now())
        except Exception:
            # What Airflows told is swept all the same: a row that another one holds must not delay
            # it. If the database is away, the sweep says so.
            logger.exception("incidents not evaluated")

    def _sweep(self, now: float) -> Swept:
        is_due = now >= self._next_deadlines_at
        swept = sweep(now=timezone.now(), checks_deadlines=is_due)
        if is_due:
            self._next_deadlines_at = now + DEADLINE_SECONDS
        return swept
