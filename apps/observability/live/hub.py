"""Who reads along, and what each of them is given. All of it in one event loop, without locks."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from django.db import Error

from apps.observability.component_logs.reading import place_of
from apps.observability.live import rights
from apps.observability.live.changes import listen
from apps.observability.live.followers import Follower, Log, Read
from apps.observability.live.reading import with_database
from apps.observability.live.tickets import Ticket
from apps.observability.live.viewers import CHANGED, ENDED, Viewer

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Key = TypeVar("Key")
MOST_VIEWERS, MOST_OF_SESSION = 5_000, 100
CHECK_SECONDS = 60.0
TICK_SECONDS = 1.0


class NotAdmitted(Exception):
    """A stream that may not be opened; `status` is that of the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Hub:
    """`read` reads logs; rights are asked for in one thread of its own."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._database = ThreadPoolExecutor(1, thread_name_prefix="rights")
        self._viewers: set[Viewer] = set()
        self._watching: dict[int, set[Viewer]] = defaultdict(set)
        self._by_session: dict[str, set[Viewer]] = defaultdict(set)
        self._followers: dict[Log, tuple[Follower, asyncio.Task[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(listen(self._told, missed=self._told_nothing)),
            asyncio.create_task(self._check_always()),
            asyncio.create_task(self._sweep_always()),
        ]

    async def close(self) -> None:
        """End every stream."""
        for viewer in self._viewers:
            viewer.finish()
        tasks = [*self._tasks, *(task for _, task in self._followers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._database.shutdown(wait=False, cancel_futures=True)

    async def admit(self, ticket: Ticket, *, after: str) -> Viewer:
        """Let a browser read along; a log from `after` on, the place where its page ended. Raises
        NotAdmitted.
        """
        if len(self._viewers) >= MOST_VIEWERS:
            raise NotAdmitted(503)
        claim = rights.claim_of(ticket)
        try:
            digest = await self._ask(lambda: rights.granted(claim))
        except Error:
            raise NotAdmitted(503) from None
        if not digest:
            raise NotAdmitted(403)
        if len(self._by_session.get(digest, ())) >= MOST_OF_SESSION:
            raise NotAdmitted(429)
        viewer = Viewer(ticket, claim, digest, check_at=_next_check())
        self._viewers.add(viewer)
        self._by_session[digest].add(viewer)
        if ticket.component:
            self._follow(viewer, after)
        else:
            self._watching[ticket.deployment_id].add(viewer)
            # What changed between its page and now.
            viewer.give(CHANGED)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a browser; the last one of a log ends its reader."""
        self._viewers.discard(viewer)
        _discard(self._by_session, viewer.digest, viewer)
        _discard(self._watching, viewer.ticket.deployment_id, viewer)
        log = _log_of(viewer.ticket)
        if log in self._followers:
            follower, task = self._followers[log]
            if not follower.remove(viewer):
                task.cancel()
                del self._followers[log]

    def counts(self) -> dict[str, int]:
        """Return how much there is, for the probe and for tests."""
        positions = sum(follower.n_positions for follower, _ in self._followers.values())
        return {
            "viewers": len(self._viewers),
            "logs": len(self._followers),
            "positions": positions,
        }

    def _follow(self, viewer: Viewer, after: str) -> None:
        log = _log_of(viewer.ticket)
        place = place_of(after, deployment_id=log.deployment_id, source=log.source)
        known = self._followers.get(log)
        follower = known[0] if known else Follower(log, self._read)
        follower.add(viewer, place=place)
        if known is None:
            self._followers[log] = follower, asyncio.create_task(follower.run())

    def _told(self, kind: str, key: str) -> None:
        if kind == "deployment":
            _give(self._watching.get(int(key), ()), CHANGED)
        elif kind == "session":
            _end(self._by_session.get(key, ()))

    def _told_nothing(self) -> None:
        """Something may have changed that was not told."""
        for viewers in self._watching.values():
            _give(viewers, CHANGED)
        for viewer in self._viewers:
            viewer.check_at = 0.0

    async def _check_always(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            with suppress(Error):
                await self.check()

    async def _sweep_always(self) -> None:
        """Beside the checks, which wait for the database."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.sweep(asyncio.get_running_loop().time())

    def sweep(self, now: float) -> None:
        """Let idle streams know that they live, and drop those that are not read."""
        for viewer in list(self._viewers):
            viewer.sweep(now)

    async def check(self) -> None:
        """End the streams whose claim holds no more, of those that are due to be checked. While the
        database is away they go on as they were, and are checked when it is back.
        """
        now = asyncio.get_running_loop().time()
        due = [viewer for viewer in self._viewers if viewer.check_at <= now]
        if not due:
            return
        claims = {viewer.claim for viewer in due}
        refused = await self._ask(lambda: rights.refused(claims))
        for viewer in due:
            viewer.check_at = _next_check()
        _end([viewer for viewer in due if viewer.claim in refused])

    async def _ask(self, ask: Callable[[], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._database, with_database, ask)


def _log_of(ticket: Ticket) -> Log:
    return Log(ticket.deployment_id, ticket.source)


def _next_check() -> float:
    """Spread over the last sixth of a minute, so that not all are due at once."""
    spread = random.uniform(5 / 6, 1.0)  # noqa: S311 - spreads load
    return asyncio.get_running_loop().time() + CHECK_SECONDS * spread


def _discard(sets: dict[Key, set[Viewer]], key: Key, one: Viewer) -> None:
    found = sets.get(key, set())
    found.discard(one)
    if not found:
        sets.pop(key, None)


def _give(viewers: Collection[Viewer], data: bytes) -> None:
    for viewer in viewers:
        viewer.give(data)


def _end(viewers: Collection[Viewer]) -> None:
    for viewer in viewers:
        viewer.give(ENDED)
        viewer.finish()
