"""Hints to the workers, by name: who sends them does not import what they do."""

from celery import current_app

from apps.deployments.tasks import send

STEP = "apps.bulk_actions.tasks.step"
QUEUE = "background"


def request_step(action_id: int) -> None:
    """Let a worker go on with an action soon. Without a broker the sweeper finds the row."""
    send([(current_app.signature(STEP), [action_id], QUEUE)])
