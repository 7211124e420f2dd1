"""The loop: dispatches what happened every second, and sends what waits.

    every second ──▶ dispatch events, until none is left
          └──▶ take webhooks that something waits for ──▶ one thread each, 8 at most

Several may run: dispatching is one's alone by an advisory lock, a webhook by its lease.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from django.db import Error, close_old_connections, connection
from django.utils import timezone

from apps.webhooks.deliveries import outbox
from apps.webhooks.deliveries.dispatching import MOST_EVENTS, dispatch

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
MOST_THREADS = 8


class WebhookSender:
    """Works until it is stopped, in the thread that calls `run`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="webhook")
        self._busy = 0
        self._lock = threading.Lock()

    def run(self, *, stop: threading.Event) -> None:
        """Dispatch and send until `stop` is set. A database that is away is waited for."""
        while not stop.is_set():
            try:
                close_old_connections()
                self.step()
            except Error:
                logger.warning("the database does not answer the webhooks", exc_info=True)
                connection.close()
            except Exception:
                # What cannot be dispatched now must not end all webhooks.
                logger.exception("not dispatched")
            stop.wait(TICK_SECONDS)
        self._threads.shutdown(wait=True, cancel_futures=True)
        connection.close()

    def step(self) -> None:
        """Do what is due now."""
        while dispatch(now=timezone.now()) == MOST_EVENTS:
            pass
        with self._lock:
            free = MOST_THREADS - self._busy
        for webhook_id, lease in outbox.take_due(most=free) if free > 0 else ():
            with self._lock:
                self._busy += 1
            self._threads.submit(self._empty, webhook_id, lease)

    def _empty(self, webhook_id: int, lease: datetime) -> None:
        try:
            outbox.empty_webhook(webhook_id=webhook_id, lease=lease)
        except Exception:
            # Its lease ends, and another turn comes.
            logger.exception("webhook not emptied", extra={"webhook": webhook_id})
        finally:
            connection.close()
            with self._lock:
                self._busy -= 1
