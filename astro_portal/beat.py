"""The clock of the jobs, which remembers in a file what it sent.

`python -m astro_portal.beat FILE` is a process of its own; `Clock` is a thread of another one, as a
portal on one machine has it. It sends messages by name and time. An app of its own, without
Celery's support for Django and without its command line, keeps the process from importing the jobs,
the models and all that they need, which is most of a process's memory.
"""

import sys
from logging.config import dictConfig
from threading import Event, Thread
from typing import Any

from celery import Celery
from celery.beat import Service
from celery.signals import setup_logging
from django.conf import settings

JOIN_SECONDS = 5.0

app = Celery("astro_portal", fixups=[], set_as_current=False)
app.config_from_object("django.conf:settings", namespace="CELERY")


class Clock:
    """The clock beside other loops of a process, with its file in the home of this machine."""

    def __init__(self) -> None:
        self.file = settings.PORTAL_HOME.run / "beat-schedule"

    def run(self, *, stop: Event) -> None:
        """Send what is due until `stop` is set. A clock that fails is started again, with its
        failure in the log.
        """
        while not stop.is_set():
            service = Service(app, schedule_filename=str(self.file))
            # It waits for a lost Valkey without end, which must not keep the process from ending.
            thread = Thread(target=service.start, name="beat", daemon=True)
            thread.start()
            while not stop.wait(1) and thread.is_alive():
                pass
            service.stop()
            thread.join(JOIN_SECONDS)


def configure_logging(**_: Any) -> None:
    """Write lines as the other processes do, for which `django.setup` sees to it."""
    dictConfig(settings.LOGGING)


if __name__ == "__main__":
    setup_logging.connect(configure_logging)
    app.Beat(schedule=sys.argv[1], loglevel="INFO").run()
