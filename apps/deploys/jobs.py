"""Hints to the workers, by name: who sends them does not import what they do."""

from celery import current_app

from apps.deployments.tasks import send

CHECK = "apps.deploys.tasks.check_preview"
QUEUE = "background"


def request_check(preview_id: int) -> None:
    """Let a worker check a preview soon. Without a broker the sweeper finds the row."""
    send([(current_app.signature(CHECK), [preview_id], QUEUE)])
