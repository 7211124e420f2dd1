"""Celery carries hints only: every job can be lost, doubled or late, and the rows in PostgreSQL
still converge.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "astro_portal.settings")

app = Celery("astro_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
