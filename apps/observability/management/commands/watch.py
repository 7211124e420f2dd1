import re
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.observability.watching.watchers import Watchers

SHARD = re.compile(r"(\d{1,2})/(\d{1,2})")


class Command(BaseCommand):
    help = "Watch Kubernetes clusters, so that pages and repairs follow within a second."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--shard",
            default="0/1",
            metavar="INDEX/COUNT",
            help="Watch only part of the clusters: 0/2 and 1/2 share them. A second process for "
            "the same part waits until the first one ends.",
        )

    def handle(self, *args: Any, shard: str, **options: Any) -> None:
        found = SHARD.fullmatch(shard)
        if found is None or int(found[1]) >= int(found[2]):
            raise CommandError("--shard must be like 0/2: the index, then how many there are.")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        Watchers(index=int(found[1]), count=int(found[2])).run(stop=stop)
