import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.observability.live.server import serving


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    help = "Send changes and log lines to open pages as they happen, by server-sent events."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen", default="127.0.0.1:8082", metavar="HOST:PORT", help="Where to listen."
        )

    def handle(self, *args: Any, listen: str, **options: Any) -> None:
        asyncio.run(_serve(listen))


async def _serve(listen: str) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(listen=listen):
        await stop.wait()
