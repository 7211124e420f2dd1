"""Celery carries hints only: every job can be lost, doubled or late, and the rows in PostgreSQL
still converge.
"""

import gc
import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun, worker_before_create_process
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "astro_portal.settings")

app = Celery("astro_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def check_connections(**_: Any) -> None:
    """Close broken database connections, as Django does before a request."""
    close_old_connections()


task_prerun.connect(check_connections)


def share_memory(**_: Any) -> None:
    """Leave what exists before a fork out of garbage collection: to look at it is to copy it."""
    gc.collect()
    gc.freeze()


worker_before_create_process.connect(share_memory)
