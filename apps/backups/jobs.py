"""Hints to the workers, by name: who sends them does not import what they do."""

from celery import current_app

from apps.deployments.tasks import send

BACK_UP = "apps.backups.tasks.back_up"
FETCH = "apps.backups.tasks.fetch_backup"
QUEUE = "background"


def request_job(backup_id: str) -> None:
    """Let a worker write a backup soon. Without a broker the sweeper finds the row."""
    send([(current_app.signature(BACK_UP), [backup_id], QUEUE)])


def request_fetch(backup_id: str) -> None:
    """Let a worker get a backup from its bucket soon. The sweeper finds what waits for one."""
    send([(current_app.signature(FETCH), [backup_id], QUEUE)])
