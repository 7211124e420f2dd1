import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from apps.observability.collecting.collector import Collector


class Command(BaseCommand):
    help = "Ask every Deployment each 30 seconds how it is, and keep the answers for charts."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(_collect())


async def _collect() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await Collector().run(stop=stop)
