"""What the portal itself knows about why tasks wait: settings of queues, workers, warnings."""

from datetime import datetime, timedelta

from apps.dataplane.spec import WorkerQueue
from apps.dataplane.status import ComponentStatus, Observation, QueueStatus
from apps.deployments.models import Deployment
from apps.deployments.pages.queries import observation_of
from apps.observability.why.reasons import Known, KnownQueue

RECENT = timedelta(minutes=10)


def known_of(deployment: Deployment, *, now: datetime) -> Known:
    """Return what is known of a Deployment that was applied, from its rows. No query."""
    if deployment.applied is None:
        return Known(executor="local")
    configuration = deployment.applied.configuration
    try:
        observation = observation_of(deployment)
    except (KeyError, TypeError, ValueError):
        observation = None
    queues = {one.name: one for one in observation.queues} if observation else {}
    components = {one.name: one for one in observation.components} if observation else {}
    return Known(
        executor=configuration.executor,
        queues=tuple(
            _queue(one, queues.get(one.name), components.get(f"worker {one.name}"))
            for one in configuration.queues
        ),
        unschedulable=_words(observation, now, "FailedScheduling", ""),
        quota=_words(observation, now, "FailedCreate", "quota"),
    )


def _queue(
    queue: WorkerQueue, status: QueueStatus | None, component: ComponentStatus | None
) -> KnownQueue:
    return KnownQueue(
        name=queue.name,
        min_workers=queue.min_workers,
        max_workers=queue.max_workers,
        concurrency=queue.concurrency,
        workers_ready=status.workers_ready if status else 0,
        workers_wanted=status.workers_wanted if status else 0,
        state=component.state if component else "",
        detail=component.detail if component else "",
        note=status.note if status else "",
    )


def _words(observation: Observation | None, now: datetime, reason: str, word: str) -> str:
    """Return the cluster's own words of its last warning of a kind that is not over."""
    for one in (observation.notices or ()) if observation else ():
        is_recent = not one.is_over and now - one.last_at < RECENT
        if is_recent and one.reason == reason and word in one.message:
            return one.message
    return ""
