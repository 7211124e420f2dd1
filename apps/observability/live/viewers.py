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
    """

    def __init__(self, ticket: Ticket, claim: Claim, digest: str, *, check_at: float) -> None:
        self.ticket, self.claim, self.digest, self.check_at = ticket, claim, digest, check_at
        self.is_over = False
        self.drop: Callable[[], None] = self.finish
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._arrived = asyncio.Event()

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
        self._arrived.set()

    def finish(self) -> None:
        """Send nothing after what waits."""
        self.is_over = True
        self._arrived.set()

    async def next(self, *, seconds: float) -> bytes:
        """Return what waits, `IDLE` if nothing came for some seconds, and nothing at the end."""
        if not self._waiting and not self.is_over:
            try:
                # Not `wait_for`, which makes a task of its own for each event of each viewer.
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return IDLE
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._arrived.clear()
        return data
