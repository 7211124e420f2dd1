"""The loop that tells receivers: webhooks and Slack of visitors.

    every second ──▶ take receivers that are owed something ──▶ one thread each, 8 at most

A receiver is one's alone by its lease, so that several loops may run.
"""

from collections.abc import Iterable
from datetime import datetime

from apps.observability.collecting.beside import SendingLoop
from apps.status_pages.subscriptions import delivering


class ReceiverSender(SendingLoop):
    """Works until it is stopped, in the thread that calls `run`."""

    most_threads = 8

    def work(self) -> None:
        """Nothing is due but what is sent."""

    def take_due(self, *, most: int) -> Iterable[tuple[int, datetime]]:
        return delivering.take_due(most=most)

    def empty(self, receiver_id: int, lease: datetime) -> None:
        delivering.empty_receiver(receiver_id=receiver_id, lease=lease)
