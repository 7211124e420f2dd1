"""Celery carries hints only: every job can be lost, doubled or late, and the rows in PostgreSQL
still converge.
"""

import gc
import os
import resource
import time
import traceback
from typing import Any

from celery import Celery, Task
from celery.signals import (
    heartbeat_sent,
    task_failure,
    task_prerun,
    worker_before_create_process,
    worker_process_init,
)
from django.conf import settings
from django.db import close_old_connections

from apps.core.heartbeat import beat


class OutOfMemory(Exception):
    """A job needed more memory than a process of a worker may have."""


class Job(Task):  # type: ignore[misc]  # Celery is untyped
    """A job that fails alone when memory is gone. Celery takes a MemoryError of a job for one of
    its own and ends the whole worker, with everything that its other processes are doing.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.run(*args, **kwargs)
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)
            raise OutOfMemory(f"{settings.WORKER_MEMORY_MB} MB were not enough.") from error


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "astro_portal.settings")
# Django's checks import every view, which workers never need; `migrate` has run them before.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("astro_portal", task_cls=Job)
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


def bound_memory(**_: Any) -> None:
    """Bound what one process of a worker may take, so that a job that takes all does not have the
    kernel choose which process to kill.
    """
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = settings.WORKER_MEMORY_MB * 1024**2
    soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, most))


worker_process_init.connect(bound_memory)


def show_life(**_: Any) -> None:
    """Every two seconds, while the loop that takes messages runs."""
    beat()


heartbeat_sent.connect(show_life)
