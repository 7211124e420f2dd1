"""Celery carries hints only: every job can be lost, doubled or late, and the rows in PostgreSQL
still converge.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "astro_portal.settings")

app = Celery("astro_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def check_connections(**_: Any) -> None:
    """Close broken database connections, as Django does before a request."""
    close_old_connections()


task_prerun.connect(check_connections)
