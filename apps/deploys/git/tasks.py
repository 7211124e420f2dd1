"""Jobs are hints; which repository is due is in its row. See `apps.deployments.tasks`."""

from typing import Any

from celery import shared_task

from apps.deployments.tasks import send
from apps.deploys.git import leases, polling
from apps.deploys.models import GitRepository

QUEUE = "background"


@shared_task(name="apps.deploys.git.tasks.poll", soft_time_limit=250, time_limit=270)
def poll(repository_id: int, **_newer: Any) -> None:
    polling.poll(repository_id=repository_id)


@shared_task(name="apps.deploys.git.tasks.sweep")
def sweep(**_newer: Any) -> None:
    send([(poll, [repository_id], QUEUE) for repository_id in leases.take_due()])


def look_now(repository: GitRepository) -> None:
    """Let a worker look at a repository at once, because someone or a webhook asks for it."""
    leases.make_due(repository)
    send([(poll, [repository.pk], QUEUE)])
