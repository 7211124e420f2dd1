"""Records how long Deployments hibernate, from the moments at which that is decided."""

from datetime import datetime

from apps.deployments.models import Deployment
from apps.hibernation.models import Sleep


def note_turn(deployment: Deployment, now: datetime) -> None:
    """Begin or end the stretch of a Deployment that has just turned."""
    Sleep.objects.filter(deployment=deployment, ended_at=None).update(ended_at=now)
    if deployment.is_hibernating:
        queues = deployment.wanted.configuration.queues if deployment.wanted else ()
        workers = sum(queue.min_workers for queue in queues)
        Sleep.objects.create(deployment=deployment, began_at=now, workers=workers)
