import asyncio
import signal
import threading
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils.module_loading import import_string

from apps.dataplane.local.machine.embedded_databases import live_socket
from apps.observability.collecting.collector import Collector
from apps.observability.live.server import serving


class Command(BaseCommand):
    # They import every view, and all of that stays in memory.
    requires_system_checks: list[str] = []
    help = (
        "Ask every Deployment each 30 seconds how it is, keep the answers for charts, send alerts "
        "and webhooks, and keep status pages."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--with-streams",
            action="store_true",
            help="Also do what `live` does, behind the edge of this machine: one process less.",
        )
        parser.add_argument(
            "--with-clock",
            action="store_true",
            help="Also send jobs when they are due: another process less.",
        )

    def handle(self, *args: Any, with_streams: bool, with_clock: bool, **options: Any) -> None:
        stop = threading.Event()
        names = [*settings.COLLECT_WITH, *([settings.CLOCK] if with_clock else [])]
        loops = [import_string(name)() for name in names]
        threads = [
            threading.Thread(target=one.run, kwargs={"stop": stop}, name=type(one).__name__)
            for one in loops
        ]
        for thread in threads:
            thread.start()
        try:
            asyncio.run(_collect(with_streams))
        finally:
            stop.set()
            for thread in threads:
                thread.join()


async def _collect(with_streams: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    socket = live_socket(settings.PORTAL_HOME)
    async with serving(socket=socket) if with_streams else nullcontext():
        await Collector().run(stop=stop)
