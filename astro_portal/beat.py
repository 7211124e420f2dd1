"""The clock of the jobs: `python -m astro_portal.beat FILE`, which remembers in FILE what it sent.

It sends messages by name and time. An app of its own, without Celery's support for Django and
without its command line, keeps it from importing the jobs, the models and all that they need, which
is most of a process's memory.
"""

import sys
from logging.config import dictConfig
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

app = Celery("astro_portal", fixups=[], set_as_current=False)
app.config_from_object("django.conf:settings", namespace="CELERY")


def configure_logging(**_: Any) -> None:
    """Write lines as the other processes do, for which `django.setup` sees to it."""
    dictConfig(settings.LOGGING)


setup_logging.connect(configure_logging)


if __name__ == "__main__":
    app.Beat(schedule=sys.argv[1], loglevel="INFO").run()
