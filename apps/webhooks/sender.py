"""The loop: dispatches what happened every second, and sends what waits.

    every second ──▶ dispatch events, until none is left
          └──▶ take webhooks that something waits for ──▶ one thread each, 8 at most

Dispatching is one's alone by an advisory lock, a webhook by its lease.
"""

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from apps.observability.collecting.beside import SendingLoop
from apps.webhooks.deliveries import outbox
from apps.webhooks.deliveries.dispatching import MOST_EVENTS, dispatch


class WebhookSender(SendingLoop):
    """Works until it is stopped, in the thread that calls `run`."""

    most_threads = 8

    def work(self) -> None:
        while dispatch(now=timezone.now()) == MOST_EVENTS:
            pass

    def take_due(self, *, most: int) -> Iterable[tuple[int, datetime]]:
        return outbox.take_due(most=most)

    def empty(self, receiver_id: int, lease: datetime) -> None:
        outbox.empty_webhook(webhook_id=receiver_id, lease=lease)
