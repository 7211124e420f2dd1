"""Deadlines for reads that have none of their own: the socket is shut down.

The head of a response is read line by line, each with its own timeout, so a server that sends a
byte now and then could hold a worker indefinitely. One thread per process monitors all reads.
"""

import heapq
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress


class Limit:
    """One guarded read. `is_over` is whether it was ended."""

    __slots__ = ("is_over", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket | None = sock
        self.is_over = False

    def end(self) -> None:
        """Shut the socket down, unless the read has ended."""
        sock, self.sock = self.sock, None
        if sock is not None:
            self.is_over = True
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """Ends what takes too long."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Limit]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, sock: socket.socket, seconds: float) -> Iterator[Limit]:
        """Shut the socket down unless the block ends within `seconds`."""
        limit = Limit(sock)
        entry = (time.monotonic() + seconds, next(self._numbers), limit)
        with self._changed:
            heapq.heappush(self._heap, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="deadlines")
                self._thread.start()
            elif self._heap[0] is entry:
                self._changed.notify()
        try:
            yield limit
        finally:
            with self._changed:
                limit.sock = None

    def _run(self) -> None:
        with self._changed:
            while True:
                while self._heap and self._heap[0][2].sock is None:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._changed.wait()
                    continue
                left = self._heap[0][0] - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                heapq.heappop(self._heap)[2].end()


_watchdog = Watchdog()


def limit(sock: socket.socket, seconds: float) -> AbstractContextManager[Limit]:
    """Shut a socket down unless the block ends within `seconds`."""
    return _watchdog.limit(sock, seconds)


def _after_fork() -> None:
    global _watchdog
    _watchdog = Watchdog()


os.register_at_fork(after_in_child=_after_fork)
