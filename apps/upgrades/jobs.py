"""Hints to the workers, by name: who sends them does not import what they do."""

from celery import current_app

from apps.deployments.tasks import send

CHECK = "apps.upgrades.tasks.check"
QUEUE = "background"


def request_check(upgrade_id: int) -> None:
    """Let a worker check an upgrade soon. Without a broker the sweeper finds the row."""
    send([(current_app.signature(CHECK), [upgrade_id], QUEUE)])
