"""Celery's settings for scheduler and workers: connections to the broker that notice their end.

A node that is lost, or a firewall that forgets, closes no connection. A worker that listens on such
a one hears nothing and says nothing, for as long as it runs. So the kernel asks the other side from
time to time, every answer is waited for within limits, and a worker drops a connection on which the
broker is silent: the broker answers each request for work within seconds, with or without any.

A task that waited while no scheduler ran, as in a Deployment that hibernates, would fail for its
old token. A worker puts it aside: the scheduler takes back what waits for too long, and queues it
again with a new one.
"""

import logging
import os
import socket
from pathlib import Path
from threading import Event
from time import monotonic, time
from typing import Any

from airflow.configuration import conf
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery.bootsteps import StartStopStep
from celery.exceptions import Ignore
from celery.signals import worker_init, worker_shutting_down
from celery.worker.consumer import Tasks
from kombu.transport import redis
from portal_workloads import has_ended

CONNECT_SECONDS = 10
ANSWER_SECONDS = 10
CHECK_SECONDS = 25
LOOK_SECONDS = 5
# The broker answers each second. Kombu itself, which does not close the other connections along,
# waits a little longer.
SILENT_SECONDS = 20
WORKLOAD = "execute_workload"
ALIVE_FILE = os.environ.get("PORTAL_WORKER_ALIVE_FILE", "")
KEEPALIVE = {
    socket.TCP_KEEPIDLE: 30,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
}
CELERY_CONFIG: dict[str, Any] = {
    **DEFAULT_CELERY_CONFIG,
    "broker_transport_options": {
        "socket_keepalive": True,
        "socket_keepalive_options": KEEPALIVE,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "health_check_interval": CHECK_SECONDS,
        # A message that was taken and not yet noted as taken would be lost with the connection.
        # One that is sent twice does no harm: Airflow starts a try of a task once.
        "retry_on_timeout": True,
        **DEFAULT_CELERY_CONFIG["broker_transport_options"],
    },
    "redis_socket_keepalive": True,
    "redis_socket_connect_timeout": CONNECT_SECONDS,
    "redis_socket_timeout": ANSWER_SECONDS,
    "redis_retry_on_timeout": True,
    "redis_backend_health_check_interval": CHECK_SECONDS,
}
log = logging.getLogger(__name__)
# The event loop looks once more after the signal to end.
is_ending = Event()


class WatchedChannel(redis.Channel):
    """A channel that knows how long the broker owes it an answer about new tasks."""

    asked_at: float | None = None

    def _brpop_start(self, *args: Any, **options: Any) -> Any:
        result = super()._brpop_start(*args, **options)
        if self._in_poll:
            self.asked_at = monotonic()
        return result

    def _brpop_read(self, **options: Any) -> Any:
        self.asked_at = None
        return super()._brpop_read(**options)

    def drop_if_silent(self) -> bool:
        """Close the connection on which nothing came for too long; the worker makes another."""
        connection = self._in_poll
        if not connection or self.asked_at is None:
            return False
        if monotonic() - self.asked_at < SILENT_SECONDS:
            return False
        log.warning("The broker is silent for %s seconds: connecting again.", SILENT_SECONDS)
        self.asked_at = None
        _shut(connection)
        return True


def _shut(connection: Any) -> None:
    """End it as the other side would, so that the event loop finds out by itself."""
    found = getattr(connection, "_sock", None)
    if found is not None:
        try:
            found.shutdown(socket.SHUT_RDWR)
        except OSError:
            connection.disconnect()


class Watch(StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Looks every few seconds, with each connection anew: Celery forgets its timers with one, and
    says only of the first that the worker is ready.
    """

    requires = (Tasks,)
    looking: Any = None

    def start(self, parent: Any) -> None:
        if hub := getattr(parent, "hub", None):
            self.looking = hub.call_repeatedly(LOOK_SECONDS, _look, parent)

    def stop(self, parent: Any) -> None:
        if self.looking:
            self.looking.cancel()


@worker_init.connect  # type: ignore[misc]
def _watch(sender: Any, **options: Any) -> None:
    sender.app.steps["consumer"].add(Watch)
    if task := sender.app.tasks.get(WORKLOAD):
        task.run = _unless_it_has_ended(task)


def _unless_it_has_ended(task: Any) -> Any:
    """Return what the task does, for the processes that the worker begins."""
    run = task.run
    leeway = conf.getfloat("api_auth", "jwt_leeway", fallback=0.0)

    def run_in_time(workload: str) -> Any:
        if has_ended(workload, now=time(), leeway=leeway):
            log.warning("A task waited for longer than its token lasts: it is queued again.")
            raise Ignore
        return run(workload)

    return run_in_time


@worker_shutting_down.connect  # type: ignore[misc]
def _forget(**options: Any) -> None:
    """Be judged no more: a worker that ends its tasks takes no new ones, for a day at most."""
    is_ending.set()
    if ALIVE_FILE:
        Path(ALIVE_FILE).unlink(missing_ok=True)


def _look(consumer: Any) -> None:
    """Drop a silent connection. Without one the worker is alive, also while it runs as many tasks
    as it may and asks for none. The liveness probe (runtime/pods/check_worker.py) reads the file.
    """
    connection = consumer.connection
    if connection is None or not connection.connected:
        return
    channels = [one for one in connection.transport.channels if isinstance(one, WatchedChannel)]
    dropped = [channel for channel in channels if channel.drop_if_silent()]
    if ALIVE_FILE and not dropped and not is_ending.is_set():
        Path(ALIVE_FILE).touch()


redis.Transport.Channel = WatchedChannel
