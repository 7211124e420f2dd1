"""What runs beside the collector, in its process: see `settings.COLLECT_WITH`."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from django.db import Error, close_old_connections, connection

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0


class SendingLoop(ABC):
    """Does what is due every second, and sends what waits, one thread for each receiver.

    Several may run: what is due is one's alone by a lock, a receiver by its lease. The thread of
    the loop and each that sends have a connection of their own, closed when they are done.
    """

    most_threads: int

    def __init__(self) -> None:
        self._name = type(self).__name__
        self._threads = ThreadPoolExecutor(self.most_threads, thread_name_prefix=self._name)
        self._busy = 0
        self._lock = threading.Lock()

    @abstractmethod
    def work(self) -> None:
        """Do what is due, before what waits is sent."""

    @abstractmethod
    def take_due(self, *, most: int) -> Iterable[tuple[int, datetime]]:
        """Take receivers that something waits for: their keys, and the ends of their leases."""

    @abstractmethod
    def empty(self, receiver_id: int, lease: datetime) -> None:
        """Send what waits for a receiver."""

    def run(self, *, stop: threading.Event) -> None:
        """Work and send until `stop` is set. A database that is away is waited for."""
        while not stop.is_set():
            try:
                close_old_connections()
                self.step()
            except Error:
                logger.warning("the database does not answer", exc_info=True, extra=self._who())
                connection.close()
            except Exception:
                # What cannot be done now must not end the loop.
                logger.exception("a turn failed", extra=self._who())
            stop.wait(TICK_SECONDS)
        self._threads.shutdown(wait=True, cancel_futures=True)
        connection.close()

    def step(self) -> None:
        """Do what is due now."""
        self.work()
        with self._lock:
            free = self.most_threads - self._busy
        for receiver_id, lease in self.take_due(most=free) if free > 0 else ():
            with self._lock:
                self._busy += 1
            self._threads.submit(self._empty, receiver_id, lease)

    def _empty(self, receiver_id: int, lease: datetime) -> None:
        try:
            self.empty(receiver_id, lease)
        except Exception:
            # Its lease ends, and another turn comes.
            logger.exception("a receiver failed", extra={**self._who(), "receiver": receiver_id})
        finally:
            connection.close()
            with self._lock:
                self._busy -= 1

    def _who(self) -> dict[str, str]:
        return {"loop": self._name}
