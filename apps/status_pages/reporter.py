"""The loop of status pages, in the process of the collector.

    every second ──▶ 30 s since the last look? ──▶ maintenances, components, reports
          ├──▶ copies that are due ──▶ rows, folder
          ├──▶ what changed of them ──▶ buckets
          └──▶ one batch of mails: questions to new subscribers, then the oldest mail run

Several may run: each part is one's alone by a lock or a lease. A part that fails is tried in the
next turn and does not keep the others from their work.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import Error, close_old_connections, connection
from django.utils import timezone

from apps.status_pages.copies.buckets import remove_unwanted, send_due
from apps.status_pages.copies.writing import forget_copies, write_due
from apps.status_pages.health.evaluation import evaluate
from apps.status_pages.posting.drafting import keep_times
from apps.status_pages.subscriptions.mailing import MailServerAway, send_batch

logger = logging.getLogger(__name__)

TICK_SECONDS, LOOK_SECONDS, AWAY_SECONDS = 1.0, 30.0, 30.0


class Reporter:
    """Works until it is stopped, in the thread that calls `run`."""

    def __init__(self) -> None:
        self._next_look_at = 0.0

    def run(self, *, stop: threading.Event) -> None:
        """Look, write and send until `stop` is set. A database that is away is waited for."""
        beside = [
            threading.Thread(target=self._mail, args=(stop,), name="status-mail"),
            threading.Thread(target=self._fill_buckets, args=(stop,), name="status-buckets"),
        ]
        for thread in beside:
            thread.start()
        while not stop.is_set():
            close_old_connections()
            self.step()
            stop.wait(TICK_SECONDS)
        for thread in beside:
            thread.join()
        connection.close()

    def step(self) -> None:
        """Do what is due now, but for mails."""
        if time.monotonic() >= self._next_look_at:
            self._next_look_at = time.monotonic() + LOOK_SECONDS
            for part in (keep_times, evaluate, forget_copies):
                self._turn(part)
        self._turn(write_due)

    def _mail(self, stop: threading.Event) -> None:
        """Send mails in a thread of their own: a mail server that is slow delays no copy."""
        while not stop.is_set():
            close_old_connections()
            self._turn(partial(self._send, stop=stop))
            stop.wait(TICK_SECONDS)
        connection.close()

    def _fill_buckets(self, stop: threading.Event) -> None:
        """Send copies in a thread of their own: a bucket that is slow delays no other place."""
        while not stop.is_set():
            close_old_connections()
            for part in (send_due, remove_unwanted):
                self._turn(part)
            stop.wait(TICK_SECONDS)
        connection.close()

    def _send(self, *, now: datetime, stop: threading.Event) -> None:
        try:
            send_batch(now=now)
        except MailServerAway:
            logger.warning("the mail server does not answer the status pages")
            stop.wait(AWAY_SECONDS)

    def _turn(self, part: Callable[..., object]) -> None:
        try:
            part(now=timezone.now())
        except Error:
            logger.warning("the database does not answer the status pages", exc_info=True)
            connection.close()
        except Exception:
            # Whatever is wrong with one part or page must not end all of them.
            logger.exception("status pages not kept")
