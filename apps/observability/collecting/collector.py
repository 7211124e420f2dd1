"""The collector: one process that asks every Deployment each 30 seconds.

    every second ──▶ take turns that are due ──▶ wait for a slot of the cluster ──▶ ask, in a thread
                          ▲                          (two each)                        │
                          │                                                            ▼
    Collection.next_at ◀──┴── put back: 30 s later, or longer after a failure ◀── write samples

Several may run: each cluster is asked by one of them (`turns`). What a Deployment did not answer
within its deadline is a gap. What ended in Airflow is asked from `counted_until` on, so an hour
without a collector is filled by the next answers, a week of it at a time. With every question it is
listed, too, from `list_from` on: alerts are made of that (`results`).
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from django.db import DataError, Error, IntegrityError, close_old_connections, connection
from django.utils import timezone

from apps.clusters.connections.planes import plane_for
from apps.core.heartbeat import beat
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.spec import DeploymentSpec
from apps.deployments.models import Deployment
from apps.deployments.pages.queries import observation_of
from apps.deployments.reconciling.compiler import compile_spec
from apps.observability.collecting import turns
from apps.observability.collecting.asking import Reading, Target, ask, recent
from apps.observability.collecting.turns import Outcome, Turn
from apps.observability.history import storage
from apps.observability.history.decisions import LastDecisions, write_decisions
from apps.observability.history.metrics import FINE
from apps.observability.history.storage import Buckets, Gauges, SeriesIds
from apps.observability.results.storage import write_results

logger = logging.getLogger(__name__)

TICK_SECONDS, ADD_SECONDS, BEAT_SECONDS = 1.0, 30.0, 5.0
SLOTS, MOST_THREADS, MOST_WAITING = 2, 32, 400
# Of one cluster no more are taken than can be asked before their lease ends.
MOST_WAITING_OF_CLUSTER = 40
DEADLINE_SECONDS = 20.0
# What ended is asked for every minute, and three buckets again: some tasks are reported late.
COUNT_EVERY, COUNT_AGAIN = timedelta(seconds=60), timedelta(seconds=3 * FINE)
FIRST_DAYS, FIRST_LISTED_DAYS = 30, 7
# A specification holds no more than this, and is compiled again after this time.
SPEC_SECONDS = 600.0
NOT_ASKED = "The portal could not ask it. Its log says why."
# Observations of clusters are written when they change, and every five minutes at least.
SEEN_ON_CLUSTERS, SEEN_HERE = timedelta(minutes=11), timedelta(seconds=90)


class Collector:
    """Asks until it is stopped. One thread talks to the database, up to 32 to Airflows."""

    def __init__(self) -> None:
        self._database = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="ask")
        self._slots: dict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SLOTS))
        self._waiting: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[tuple[Turn, Reading]] = []
        self._specs: dict[int, tuple[object, float, DeploymentSpec]] = {}
        self._ids = SeriesIds()
        self._last = LastDecisions()
        self._written: dict[int, Buckets] = {}
        self._next_add_at = self._next_beat_at = 0.0

    async def run(self, *, stop: asyncio.Event) -> None:
        """Ask until `stop` is set. A database that is away is waited for."""
        while not stop.is_set():
            await self._turn()
            try:
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
            except TimeoutError:
                continue
        for task in self._tasks:
            task.cancel()
        loop = asyncio.get_running_loop()
        with suppress(Error):
            await loop.run_in_executor(self._database, self._write, self._done)
        await loop.run_in_executor(self._database, _close)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._database.shutdown()

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        done, self._done = self._done, []
        try:
            found = await loop.run_in_executor(self._database, self._round, done)
        except (DataError, IntegrityError):
            # A Deployment or series that was deleted meanwhile. To write that again fails again.
            logger.warning("answers not written", exc_info=True, extra={"answers": len(done)})
            self._forget()
            return
        except Error:
            logger.warning("the database does not answer the collector", exc_info=True)
            self._done = [*done, *self._done][-MOST_WAITING:]
            await loop.run_in_executor(self._database, _close)
            self._forget()
            return
        for turn, target in found:
            if isinstance(target, Reading):
                self._done.append((turn, target))
                continue
            task = asyncio.create_task(self._collect(turn, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _forget(self) -> None:
        self._ids.forget()
        self._last.forget()

    def _round(self, done: list[tuple[Turn, Reading]]) -> list[tuple[Turn, Target | Reading]]:
        close_old_connections()
        return self._step(done)

    def _step(self, done: list[tuple[Turn, Reading]]) -> list[tuple[Turn, Target | Reading]]:
        """Write what was answered, and take what is due: all that needs the database."""
        now = time.monotonic()
        if now >= self._next_beat_at:
            beat()
            self._next_beat_at = now + BEAT_SECONDS
        self._write(done)
        if now >= self._next_add_at:
            turns.add_missing()
            self._next_add_at = now + ADD_SECONDS
        most = min(MOST_WAITING - len(self._tasks), MOST_WAITING_OF_CLUSTER)
        full = [pk for pk, count in self._waiting.items() if count >= MOST_WAITING_OF_CLUSTER]
        return self._targets(turns.take_due(most=most, without=full)) if most > 0 else []

    def _targets(self, taken: list[Turn]) -> list[tuple[Turn, Target | Reading]]:
        by_id = {turn.deployment_id: turn for turn in taken}
        rows = Deployment.objects.filter(pk__in=by_id).select_related("cluster", "applied")
        found: list[tuple[Turn, Target | Reading]] = []
        self._last.of(by_id)
        for deployment in rows if taken else ():
            turn = by_id[deployment.pk]
            try:
                found.append((turn, self._target(deployment, turn)))
            except DataPlaneError as error:
                found.append((turn, _unanswered(turn, error.message)))
            except Error:
                raise
            except Exception:
                # One Deployment must not keep the others from being asked.
                logger.exception("not asked", extra={"deployment": deployment.pk})
                found.append((turn, _unanswered(turn, NOT_ASKED)))
        return found

    def _target(self, deployment: Deployment, turn: Turn) -> Target:
        cluster = deployment.cluster
        within = SEEN_ON_CLUSTERS if cluster.is_kubernetes else SEEN_HERE
        seen = recent(observation_of(deployment), now=turn.due_at, within=within)
        return Target(
            deployment_id=deployment.pk,
            cluster_id=cluster.pk,
            plane=plane_for(cluster),
            spec=self._spec(deployment),
            seen=seen,
            since=_since(turn, first=deployment.created_at),
            list_from=_list_from(turn, first=deployment.created_at),
            decided=self._last.since(deployment.pk, now=turn.due_at),
        )

    def _spec(self, deployment: Deployment) -> DeploymentSpec:
        """Return what was applied, without the values of variables: nothing here needs them."""
        version = (
            deployment.applied_id,
            deployment.settings_version,
            deployment.layers_applied,
        )
        kept = self._specs.get(deployment.pk)
        if kept is not None and kept[0] == version and time.monotonic() < kept[1]:
            return kept[2]
        applied = deployment.applied
        assert applied is not None  # noqa: S101 - a turn is taken only of those
        spec = replace(compile_spec(deployment=deployment, revision=applied), variables=())
        self._specs[deployment.pk] = (version, time.monotonic() + SPEC_SECONDS, spec)
        return spec

    async def _collect(self, turn: Turn, target: Target) -> None:
        self._waiting[target.cluster_id] += 1
        slots = self._slots[target.cluster_id]
        try:
            await asyncio.wait_for(slots.acquire(), turns.LEASE_SECONDS - DEADLINE_SECONDS)
        except TimeoutError:
            # Its lease ends, and it is due again.
            return
        finally:
            self._waiting[target.cluster_id] -= 1
        asked = self._threads.submit(ask, target, now=turn.due_at)
        # A thread that hangs keeps its slot, so that a cluster has two of them at most.
        loop = asyncio.get_running_loop()
        asked.add_done_callback(lambda _: _call(loop, slots.release))
        self._done.append((turn, await _answer(asked, turn)))

    def _write(self, done: list[tuple[Turn, Reading]]) -> None:
        if not done:
            return
        readings = [reading for _, reading in done]
        gauges = [
            Gauges(deployment_id=one.deployment_id, at=one.at, values=one.gauges)
            for one in readings
            if one.gauges
        ]
        storage.write_samples(gauges=gauges, ids=self._ids)
        for reading in readings:
            self._count(reading)
            if reading.results is not None:
                write_results(deployment_id=reading.deployment_id, results=reading.results)
        told = {one.deployment_id: one.decisions for one in readings if one.decisions}
        write_decisions(told=told, last=self._last, now=timezone.now())
        turns.put_back([_outcome(turn, reading) for turn, reading in done])

    def _count(self, reading: Reading) -> None:
        if reading.ended is None:
            return
        ended = reading.ended
        buckets = Buckets(
            deployment_id=reading.deployment_id,
            begin=ended.begin,
            # As far as the last bucket goes, however far that is.
            end=-(-ended.end // FINE) * FINE,
            values=ended.values,
        )
        if self._written.get(reading.deployment_id) == buckets:
            return
        storage.write_buckets(buckets=buckets, ids=self._ids)
        self._written[reading.deployment_id] = buckets


async def _answer(asked: "Future[Reading]", turn: Turn) -> Reading:
    try:
        # A thread cannot be ended from outside: its answer is not waited for any more.
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(asked)), DEADLINE_SECONDS)
    except TimeoutError:
        return _unanswered(turn, f"It did not answer within {DEADLINE_SECONDS:.0f} seconds.")
    except Exception:
        logger.exception("asking failed", extra={"deployment": turn.deployment_id})
        return _unanswered(turn, "The portal could not read its answer.")


def _close() -> None:
    """Close the connection of the thread that runs this."""
    connection.close()


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(action)


def _since(turn: Turn, *, first: datetime) -> int | None:
    """Return from when on what ended is asked for now, None if it was asked a moment ago. Before
    `first` there was no Airflow, and nothing to count.
    """
    if turn.counted_until is None:
        begin = max(first, turn.due_at - timedelta(days=FIRST_DAYS))
        return int(begin.timestamp()) // FINE * FINE
    if turn.due_at - turn.counted_until < COUNT_EVERY:
        return None
    return int((turn.counted_until - COUNT_AGAIN).timestamp()) // FINE * FINE


def _list_from(turn: Turn, *, first: datetime) -> datetime:
    """Return from when on what ended is listed: where the last list ended, at first a week ago."""
    begin = max(first, turn.due_at - timedelta(days=FIRST_LISTED_DAYS))
    return turn.list_from or min(begin, turn.due_at)


def _unanswered(turn: Turn, problem: str) -> Reading:
    return Reading(deployment_id=turn.deployment_id, at=turn.due_at, gauges={}, problem=problem)


def _outcome(turn: Turn, reading: Reading) -> Outcome:
    ended = reading.ended
    return Outcome(
        deployment_id=turn.deployment_id,
        due_at=turn.due_at,
        is_answered=reading.is_answered,
        problem=reading.problem[:500],
        counted_until=datetime.fromtimestamp(ended.end, UTC) if ended else None,
    )
