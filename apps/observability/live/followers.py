"""One reader for each log, however many read along.

    positions: place A ─▶ 400 viewers        every second: read on from each position,
               place B ─▶ 1 who just came    and those who come to the same place are one

A page reads its lines before its stream opens, so a viewer begins where its page ended. Positions
of the data planes name a place in the log; two that were read to its end are the same from then on.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from apps.dataplane.errors import DataPlaneError
from apps.observability.component_logs.choices import Choice
from apps.observability.component_logs.reading import ALL, Source
from apps.observability.live.viewers import Viewer, event

logger = logging.getLogger(__name__)

READ_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# That of all components is many questions to a data plane.
ALL_TIMES = 3
# More wait for the next turn; by then most of these are one.
POSITIONS_AT_ONCE = 20


@dataclass(frozen=True)
class Log:
    """A log of a Deployment."""

    deployment_id: int
    source: Source


@dataclass(frozen=True)
class Chosen:
    """Which lines a viewer wants, and in which time zone. Lines are written once for each."""

    choice: Choice
    zone: str


@dataclass(frozen=True)
class Written:
    """Lines as HTML for each choice, "" where none is wanted. `place` is where they end, `cursor`
    what names it to a browser.
    """

    html: Mapping[Chosen, str]
    place: str
    cursor: str


Read = Callable[[Log, str, frozenset[Chosen]], Awaitable[Written]]


def chosen_by(viewer: Viewer) -> Chosen:
    return Chosen(viewer.ticket.choice, viewer.ticket.zone)


class Follower:
    """Reads one log while it has viewers, by `read`."""

    def __init__(self, log: Log, read: Read) -> None:
        self._log, self._read = log, read
        self._positions: dict[str, set[Viewer]] = defaultdict(set)

    @property
    def n_positions(self) -> int:
        return len(self._positions)

    def add(self, viewer: Viewer, *, place: str) -> None:
        self._positions[place].add(viewer)

    def remove(self, viewer: Viewer) -> bool:
        """Take a viewer out; return whether anyone is left."""
        for place, viewers in list(self._positions.items()):
            viewers.discard(viewer)
            if not viewers:
                del self._positions[place]
        return bool(self._positions)

    async def run(self) -> None:
        """Read until cancelled. A log that cannot be read is tried again, less and less often."""
        usual = READ_SECONDS * (ALL_TIMES if self._log.source.component == ALL else 1)
        pause = usual
        while True:
            try:
                await self._turn()
                pause = usual
            except DataPlaneError as error:
                self._tell(event("silent", error.message))
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except Exception:
                # A fault of ours ends neither the streams nor the process.
                logger.exception(
                    "a log was not read", extra={"deployment": self._log.deployment_id}
                )
                pause = LONGEST_PAUSE_SECONDS
            await asyncio.sleep(pause)

    async def _turn(self) -> None:
        for place in list(self._positions)[:POSITIONS_AT_ONCE]:
            wanted = frozenset(chosen_by(one) for one in self._positions.get(place, ()))
            if not wanted:
                continue
            written = await self._read(self._log, place, wanted)
            # Whoever left meanwhile is gone from the set; what a new one wants is not written yet.
            here = {one for one in self._positions.get(place, ()) if chosen_by(one) in wanted}
            self._move(here, place, written)

    def _move(self, viewers: set[Viewer], place: str, written: Written) -> None:
        events = {
            chosen: event("lines", html, id=written.cursor)
            for chosen, html in written.html.items()
            if html
        }
        for viewer in viewers:
            if chosen_by(viewer) in events:
                viewer.give(events[chosen_by(viewer)])
        if written.place == place:
            return
        left = self._positions.pop(place, set()) - viewers
        if left:
            self._positions[place] = left
        if viewers:
            self._positions[written.place] |= viewers

    def _tell(self, data: bytes) -> None:
        for viewer in self._all():
            viewer.give(data)

    def _all(self) -> Iterable[Viewer]:
        return [viewer for viewers in self._positions.values() for viewer in viewers]
