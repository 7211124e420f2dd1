"""Celery carries hints only: every job can be lost, doubled or late, and the rows in PostgreSQL
still converge.
"""

import gc
import os
import time
from typing import Any

from celery import Celery
from celery.signals import task_failure, task_prerun, worker_before_create_process
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "astro_portal.settings")

app = Celery("astro_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


# Asking the database whether it is there costs as much as a job that has nothing to do.
CHECK_SECONDS = 1.0
_checked_at = -CHECK_SECONDS


def check_connections(**_: Any) -> None:
    """Drop a connection that broke, as Django does before a request: jobs keep theirs otherwise."""
    global _checked_at
    if time.monotonic() - _checked_at >= CHECK_SECONDS:
        close_old_connections()
        _checked_at = time.monotonic()


def check_soon(**_: Any) -> None:
    """After a job that failed, for whatever reason, look at the connection before the next."""
    global _checked_at
    _checked_at = -CHECK_SECONDS


task_prerun.connect(check_connections)
task_failure.connect(check_soon)


def share_memory(**_: Any) -> None:
    """Leave what exists before a fork out of garbage collection: to look at it is to copy it."""
    gc.collect()
    gc.freeze()


worker_before_create_process.connect(share_memory)
