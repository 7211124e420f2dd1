"""The notifier: evaluates every few seconds, and sends what is due.

    every second ──▶ 10 s since the last sweep? ──▶ sweep ──▶ alerts and messages, in rows
          │                                                        │
          └──▶ take channels with due messages ◀───────────────────┘
                     └──▶ one thread each, 16 at most ──▶ send ──▶ write what came of it

Several may run: a sweep is one's alone by an advisory lock, a channel by its lease. The thread of
the loop and each that sends have a connection of their own, closed when they have nothing to do.
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from django.db import Error, close_old_connections, connection
from django.utils import timezone

from apps.alerts.deliveries import outbox
from apps.alerts.sweeping.sweep import Swept, sweep

logger = logging.getLogger(__name__)

TICK_SECONDS, SWEEP_SECONDS, DEADLINE_SECONDS = 1.0, 10.0, 60.0
MOST_THREADS = 16


class Notifier:
    """Works until it is stopped, in the thread that calls `run`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="send")
        self._busy = 0
        self._lock = threading.Lock()
        self._next_sweep_at = self._next_deadlines_at = 0.0

    def run(self, *, stop: threading.Event) -> None:
        """Evaluate and send until `stop` is set. A database that is away is waited for."""
        while not stop.is_set():
            try:
                close_old_connections()
                self.step()
            except Error:
                logger.warning("the database does not answer the notifier", exc_info=True)
                connection.close()
            except Exception:
                # What cannot be evaluated now must not end all alerts.
                logger.exception("not evaluated")
            stop.wait(TICK_SECONDS)
        self._threads.shutdown(wait=True, cancel_futures=True)
        connection.close()

    def step(self) -> None:
        """Do what is due now."""
        now = time.monotonic()
        if now >= self._next_sweep_at:
            self._next_sweep_at = now + SWEEP_SECONDS
            swept = self._sweep(now)
            if swept.is_behind:
                self._next_sweep_at = now
        self._send()

    def _sweep(self, now: float) -> Swept:
        is_due = now >= self._next_deadlines_at
        swept = sweep(now=timezone.now(), checks_deadlines=is_due)
        if is_due:
            self._next_deadlines_at = now + DEADLINE_SECONDS
        return swept

    def _send(self) -> None:
        with self._lock:
            free = MOST_THREADS - self._busy
        if free <= 0:
            return
        for channel_id, lease in outbox.take_due(most=free):
            with self._lock:
                self._busy += 1
            self._threads.submit(self._empty, channel_id, lease)

    def _empty(self, channel_id: int, lease: datetime) -> None:
        try:
            outbox.empty_channel(channel_id=channel_id, lease=lease)
        except Exception:
            # Its lease ends, and another turn comes.
            logger.exception("channel not emptied", extra={"channel": channel_id})
        finally:
            connection.close()
            with self._lock:
                self._busy -= 1
