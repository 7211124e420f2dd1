import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from apps.airflow_access.gateway import serve
from apps.core.database.patience import WEB_SECONDS, PatientConnection
from apps.observability.watching.watchers import Watchers


class Command(BaseCommand):
    help = "Do in one process what `watch` and `gateway` do in two: for the portal of one machine."

    def handle(self, *args: Any, **options: Any) -> None:
        PatientConnection.patience_seconds = WEB_SECONDS
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        watchers = threading.Thread(target=Watchers().run, kwargs={"stop": stop})
        watchers.start()
        try:
            serve(stop=stop)
        finally:
            stop.set()
            watchers.join()
