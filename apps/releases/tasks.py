from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.releases import feed, index, shelf, trial


@shared_task(name="apps.releases.tasks.watch", soft_time_limit=100, time_limit=120)
def watch(**_newer: Any) -> None:
    now = timezone.now()
    feed.look(now=now)
    if settings.RUNTIME_WATCH:
        index.look(now=now)
    shelf.write()


@shared_task(
    name="apps.releases.tasks.continue_trial",
    soft_time_limit=trial.TURN_SECONDS + 300,
    time_limit=trial.TURN_SECONDS + 330,
)
def continue_trial(**_newer: Any) -> None:
    if settings.RUNTIME_WATCH and settings.HAS_LOCAL_PLANE:
        trial.turn(now=timezone.now())
