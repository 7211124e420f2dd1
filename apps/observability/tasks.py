"""Jobs of this app. Unknown arguments come from a newer portal."""

import time
from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.observability.history import storage
from apps.observability.history.decisions import forget_decisions
from apps.observability.incidents import evaluation
from apps.observability.remote_write import sending
from apps.observability.results.storage import forget_results

# Another job goes on where this one stops.
PACK_SECONDS = 30.0


@shared_task(name="apps.observability.tasks.evaluate_incidents")
def evaluate_incidents(**_newer: Any) -> None:
    evaluation.evaluate_all(now=timezone.now())


@shared_task(name="apps.observability.tasks.sweep_incidents")
def sweep_incidents(**_newer: Any) -> None:
    evaluation.forget_closed(now=timezone.now())


@shared_task(name="apps.observability.tasks.pack_history")
def pack_history(**_newer: Any) -> None:
    deadline = time.monotonic() + PACK_SECONDS
    while storage.pack_hours(now=timezone.now()) and time.monotonic() < deadline:
        pass


@shared_task(name="apps.observability.tasks.send_measurements", soft_time_limit=80, time_limit=90)
def send_measurements(**_newer: Any) -> None:
    sending.send_due()


@shared_task(name="apps.observability.tasks.forget_history", soft_time_limit=280, time_limit=300)
def forget_history(**_newer: Any) -> None:
    storage.forget(now=timezone.now())
    forget_results(now=timezone.now())
    forget_decisions(now=timezone.now())
