"""The gateway's process: which cluster runs the Deployment that an address names, and who has which
role there.

The proxy itself is `dataplane.kubernetes.proxy.gateway`. This module answers what needs the
portal's database, queried at most every few seconds for each Deployment and in threads, so that no
request blocks another. While the database is away, Airflows that were found before stay open.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from aiohttp import web
from django.conf import settings
from django.db import Error, close_old_connections

from apps.airflow_access.roles import role_at_present
from apps.clusters.connections.planes import config_for
from apps.clusters.models import Cluster
from apps.dataplane.edge.roles import NoAnswer, Question
from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.proxy.gateway import make_app
from apps.dataplane.local.machine.embedded_databases import gateway_socket
from apps.deployments.models import Deployment, Phase

logger = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
FRESH_SECONDS_OF_NOTHING = 2.0
STALE_SECONDS = 3600.0
MOST_REMEMBERED = 5_000
LOOKUP_THREADS = 4
LOOKUP_SECONDS = 10.0
ROLE_THREADS = 2
Found = TypeVar("Found")


@dataclass(frozen=True)
class _Found:
    connection: Connection | None
    at: float

    def is_fresh(self, now: float) -> bool:
        fresh = FRESH_SECONDS if self.connection else FRESH_SECONDS_OF_NOTHING
        return now - self.at < fresh


class Finder:
    """Deployment ref → connection to its cluster, None for what is on no cluster."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")
        self._found: dict[str, _Found] = {}
        self._asked: dict[str, asyncio.Task[_Found]] = {}

    async def __call__(self, ref: str) -> Connection | None:
        """Raises DataPlaneError with a message when the cluster cannot be known now."""
        found = self._found.get(ref)
        if found is None or not found.is_fresh(monotonic()):
            found = await self._ask_once(ref, found)
        return found.connection

    async def sleeps(self, ref: str) -> bool:
        """Return whether a Deployment hibernates; False where the database does not answer."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await loop.run_in_executor(self._threads, _in_thread, hibernates, ref)
        except (Error, TimeoutError):
            return False

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask_once(self, ref: str, known: _Found | None) -> _Found:
        """Query the database once for all requests that wait for the same Deployment."""
        task = self._asked.get(ref)
        if task is None:
            task = self._asked[ref] = asyncio.create_task(self._ask(ref, known))
            task.add_done_callback(lambda done: self._forget(ref, done))
        return await asyncio.shield(task)

    def _forget(self, ref: str, done: asyncio.Task[_Found]) -> None:
        self._asked.pop(ref, None)
        if not done.cancelled():
            done.exception()  # retrieved, even if every waiter has left

    async def _ask(self, ref: str, known: _Found | None) -> _Found:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                connection = await loop.run_in_executor(
                    self._threads, _in_thread, connection_of, ref
                )
        except (Error, TimeoutError) as error:
            logger.warning("the database does not answer the gateway: %s", type(error).__name__)
            if known and known.connection and monotonic() - known.at < STALE_SECONDS:
                return known
            raise Unreachable(
                "The portal's database does not answer. Try again in a moment."
            ) from None
        found = _Found(connection, monotonic())
        while len(self._found) >= MOST_REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found.pop(ref, None)
        self._found[ref] = found
        return found


class RoleQuestions:
    """Answers which role a person has, in threads of its own, so that it delays no page."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(ROLE_THREADS, thread_name_prefix="role")

    async def __call__(self, question: Question) -> str:
        """Raises NoAnswer when the database does."""
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, _role_of, question)
        except Error as error:
            raise NoAnswer(type(error).__name__) from None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def connection_of(ref: str) -> Connection | None:
    """Read how to reach the cluster that runs a Deployment; None when no cluster does.

    Raises Permanent when the cluster's credential cannot be opened.
    """
    on_clusters = Cluster.objects.there().filter(kind=Cluster.Kind.KUBERNETES)
    deployment = (
        Deployment.objects.exclude(phase=Phase.DELETED)
        .filter(ref=ref, cluster__in=on_clusters)
        .select_related("cluster")
        .first()
    )
    return config_for(deployment.cluster).connection if deployment else None


def hibernates(ref: str) -> bool:
    """Return whether a Deployment is to sleep by now, or is on its way there."""
    rows = Deployment.objects.filter(ref=ref, phase=Phase.ACTIVE, is_hibernating=True)
    return rows.exists()


def _in_thread(query: Callable[[str], Found], ref: str) -> Found:
    """Run a query in a thread, whose database connection is closed by that thread alone."""
    close_old_connections()
    try:
        return query(ref)
    finally:
        close_old_connections()


def _role_of(question: Question) -> str:
    close_old_connections()
    try:
        return role_at_present(
            ref=question.ref, email=question.person, session_id=question.portal_session
        )
    finally:
        close_old_connections()


def serve(*, stop: threading.Event, listen: str = "") -> None:
    """Pass browsers on to Airflows on clusters until `stop` is set. Runs in the main thread.

    `listen` is `host:port`; without it the gateway stands behind the edge of this machine, at its
    socket. Raises OSError when it cannot listen there.
    """
    asyncio.run(_serve(stop, listen))


async def _serve(stop: threading.Event, listen: str) -> None:
    finder, roles = Finder(), RoleQuestions()
    app = make_app(
        finder,
        origin=settings.AIRFLOW_URL,
        portal_url=settings.PORTAL_URL,
        ask_role=roles,
        sleeps=finder.sleeps,
        is_behind_edge=not listen,
    )
    # A browser that leaves ends its request, and with it the one to the cluster.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5, handler_cancellation=True)
    await runner.setup()
    try:
        async with _listening(runner, listen):
            logger.info("the gateway to clusters is open")
            while not stop.is_set():
                await asyncio.sleep(0.5)
    finally:
        await runner.cleanup()
        finder.close()
        roles.close()


@asynccontextmanager
async def _listening(runner: web.AppRunner, listen: str) -> AsyncIterator[None]:
    if listen:
        host, _, port = listen.rpartition(":")
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        yield
        return
    socket = gateway_socket(settings.PORTAL_HOME)
    await web.UnixSite(runner, str(socket)).start()
    try:
        yield
    finally:
        # With the socket left behind, the edge would report every unknown address as not answering.
        socket.unlink(missing_ok=True)
