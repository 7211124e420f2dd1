"""One open stream: what waits to be sent, and when that is too much.

The format is that of server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from apps.observability.live.rights import Claim
from apps.observability.live.tickets import Ticket

# What a browser has not read yet, beside one event of any size. One that is further behind is
# dropped, and asks again.
MOST_BYTES = 256 * 1024
IDLE = b":\n\n"
IDLE_SECONDS, WRITE_SECONDS = 15.0, 20.0


def event(name: str, data: str = "", *, id: str = "") -> bytes:
    """Write an event. Its data and its id hold no line break that would end it."""
    lines = [f"event: {name}", *([f"id: {_one_line(id)}"] if id else [])]
    lines += [f"data: {line}" for line in data.replace("\r", "\n").split("\n")]
    return ("\n".join(lines) + "\n\n").encode(errors="replace")


def _one_line(text: str) -> str:
    return "".join(text.splitlines())


CHANGED, ENDED = event("changed"), event("ended")


class Viewer:
    """A browser that reads along. `digest` is of its session's key, `check_at` when its claim is
    checked next, by the clock of the loop. `drop` closes its connection at once.

    No stream has a timer of its own: one for each event cost as much as all else together, so
    `sweep` is called for each every second.
    """

    def __init__(self, ticket: Ticket, claim: Claim, digest: str, *, check_at: float) -> None:
        self.ticket, self.claim, self.digest, self.check_at = ticket, claim, digest, check_at
        self.is_over = False
        self.drop: Callable[[], None] = self.finish
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake: asyncio.Future[None] | None = None
        # When it was sent something last, and whether that is not over yet.
        self._sent_at = asyncio.get_running_loop().time()
        self._is_sending = False

    def give(self, data: bytes) -> None:
        """Let something be sent. That something changed is said once, however often it did."""
        if self.is_over or (data is CHANGED and CHANGED in self._waiting):
            return
        if self._waiting and self._size + len(data) > MOST_BYTES:
            self.finish()
            self.drop()
            return
        self._waiting.append(data)
        self._size += len(data)
        self._arrived()

    def finish(self) -> None:
        """Send nothing after what waits."""
        self.is_over = True
        self._arrived()

    def sweep(self, now: float) -> None:
        """Let it know that the stream lives if nothing came for some seconds; drop one that did not
        take in time what was written.
        """
        if self._is_sending and now - self._sent_at >= WRITE_SECONDS:
            self.finish()
            self.drop()
        elif not self._is_sending and now - self._sent_at >= IDLE_SECONDS:
            self.give(IDLE)
            self._sent_at = now

    async def next(self) -> bytes:
        """Return what waits to be sent, nothing at the end. Who asks has sent what came before."""
        self._is_sending = False
        loop = asyncio.get_running_loop()
        if not self._waiting and not self.is_over:
            self._wake = loop.create_future()
            await self._wake
        data = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._sent_at, self._is_sending = loop.time(), True
        return data

    def _arrived(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
