"""The clock of the jobs: `celery --app astro_portal.beat beat`.

It sends messages by name and time. An app of its own, without Celery's support for Django, keeps it
from importing the jobs, the models and all that they need, which is most of a process's memory.
"""

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
