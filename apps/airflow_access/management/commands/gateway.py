import re
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.airflow_access.gateway import serve
from apps.core.database.patience import WEB_SECONDS, PatientConnection

ADDRESS = re.compile(r"(?:[^:\[\]\s]*|\[[0-9a-fA-F:.]+\]):(\d{1,5})")


class Command(BaseCommand):
    help = "Open the Airflow UIs of Deployments on clusters: one address for all, /<ref>/ for each."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen",
            default="",
            metavar="HOST:PORT",
            help="Where browsers reach it. Without it: behind the edge of this machine.",
        )

    def handle(self, *args: Any, listen: str, **options: Any) -> None:
        found = ADDRESS.fullmatch(listen)
        if listen and (found is None or int(found[1]) > 65_535):
            raise CommandError("--listen must be like 0.0.0.0:8081 or [::]:8081.")
        PatientConnection.patience_seconds = WEB_SECONDS
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        try:
            serve(stop=stop, listen=listen)
        except OSError as error:
            raise CommandError(f"The gateway cannot listen there: {error.strerror}.") from error
