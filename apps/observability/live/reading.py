"""The lines of logs for streams, read in threads: two of a cluster at a time, as everywhere."""

import asyncio
import zoneinfo
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection
from django.template.loader import render_to_string
from django.utils import timezone

from apps.deployments.models import Deployment
from apps.observability.component_logs.choices import PatternRefused
from apps.observability.component_logs.lines import ShownLine
from apps.observability.component_logs.reading import read_on
from apps.observability.live.followers import Chosen, Log, Written

Answer = TypeVar("Answer")
THREADS, SLOTS_OF_CLUSTER = 6, 2
REMEMBERED_SECONDS = 60.0
MOST_CHARACTERS = 100_000


class LogReader:
    """Reads logs in threads of its own. Raises a DataPlaneError, as the data plane does."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="log")
        self._slots: dict[int, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(SLOTS_OF_CLUSTER)
        )
        self._known: dict[int, tuple[float, Deployment]] = {}

    async def __call__(self, log: Log, place: str, wanted: frozenset[Chosen]) -> Written:
        deployment = await self._deployment(log.deployment_id)
        async with self._slots[deployment.cluster_id]:
            return await self._in_thread(lambda: _written(deployment, log, place, wanted))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _deployment(self, deployment_id: int) -> Deployment:
        now = asyncio.get_running_loop().time()
        known = self._known.get(deployment_id)
        if known is None or known[0] < now:
            for old in [pk for pk, (until, _) in self._known.items() if until < now]:
                del self._known[old]
            rows = Deployment.objects.select_related("cluster")
            found = await self._in_thread(lambda: rows.get(pk=deployment_id))
            known = self._known[deployment_id] = (now + REMEMBERED_SECONDS, found)
        return known[1]

    async def _in_thread(self, ask: Callable[[], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, with_database, ask)


def with_database(ask: Callable[[], Answer]) -> Answer:
    """Call something in a thread. It keeps no connection to the database: few calls need one."""
    try:
        return ask()
    finally:
        connection.close()


def _written(deployment: Deployment, log: Log, place: str, wanted: frozenset[Chosen]) -> Written:
    read = read_on(deployment=deployment, source=log.source, place=place)
    html = {chosen: _html(read.lines, chosen) if read.lines else "" for chosen in wanted}
    return Written(html=html, place=read.place, cursor=read.cursor)


def last_that_fit(lines: Sequence[ShownLine]) -> list[ShownLine]:
    """Return the last lines that one event may hold, and what is left out in words. Pure."""
    fitting, size = 0, 0
    for line in reversed(lines):
        size += len(line.text)
        if fitting and size > MOST_CHARACTERS:
            break
        fitting += 1
    left_out = len(lines) - fitting
    words = f"… {left_out:,} lines came too quickly for this page. The download has them."
    note = ShownLine(id="", at=None, text=words, tone="warn")
    return [*([note] if left_out else []), *lines[left_out:]]


def _html(lines: Sequence[ShownLine], chosen: Chosen) -> str:
    try:
        kept = chosen.choice.keep(lines)
    except PatternRefused:
        # The page was refused the same expression, and says so.
        return ""
    if not kept:
        return ""
    kept = last_that_fit(kept)
    with timezone.override(zoneinfo.ZoneInfo(chosen.zone)):
        return render_to_string("components/log_lines.html", {"lines": kept})
