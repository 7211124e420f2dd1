"""Hints to the workers, by name: who sends them does not import what they do."""

from celery import current_app

from apps.deployments.tasks import send

CHECK = "apps.deploys.tasks.check_preview"
COPY = "apps.deploys.tasks.copy_packages"
BEGIN = "apps.deploys.tasks.begin_next_deploy"
QUEUE = "background"


def request_check(preview_id: int) -> None:
    """Let a worker check a preview soon. Without a broker the sweeper finds the row."""
    send([(current_app.signature(CHECK), [preview_id], QUEUE)])


def request_copy(promotion_id: int) -> None:
    """Let a worker bring the packages of a promotion soon, in the same way."""
    send([(current_app.signature(COPY), [promotion_id], QUEUE)])


def request_next(deployment_id: int) -> None:
    """Let a worker begin the deploy whose turn it is, in the same way."""
    send([(current_app.signature(BEGIN), [deployment_id], QUEUE)])
