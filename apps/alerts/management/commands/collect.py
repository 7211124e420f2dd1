import asyncio
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from apps.alerts.notifier import Notifier
from apps.observability.collecting.collector import Collector


class Command(BaseCommand):
    # They import every view, and all of that stays in memory.
    requires_system_checks: list[str] = []
    help = (
        "Ask every Deployment each 30 seconds how it is, keep the answers for charts, and send "
        "alerts."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        notifier = threading.Thread(target=Notifier().run, kwargs={"stop": stop}, name="notifier")
        notifier.start()
        try:
            asyncio.run(_collect())
        finally:
            stop.set()
            notifier.join()


async def _collect() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await Collector().run(stop=stop)
