"""What the portal itself knows about why tasks wait: settings of queues, workers, warnings."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from apps.dataplane.kubernetes.names import worker_name
from apps.dataplane.spec import WorkerQueue
from apps.dataplane.status import ComponentStatus, Observation, QueueStatus
from apps.deployments.models import Deployment
from apps.deployments.pages.queries import observation_of
from apps.observability.why.shapes import Known, KnownQueue, Refusal

RECENT = timedelta(minutes=10)
# Whatever else has a pod is a task of the Kubernetes executor.
COMPONENTS = frozenset(
    {"api-server", "scheduler", "dag-processor", "triggerer", "postgres", "redis", "pgbouncer"}
)


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
    refusals = _refusals(observation, now)
    return Known(
        executor=configuration.executor,
        queues=tuple(
            _queue(one, queues.get(one.name), components.get(f"worker {one.name}"), refusals)
            for one in configuration.queues
        ),
        refusal=next((one for workload, one in refusals if workload not in COMPONENTS), None),
    )


def _queue(
    queue: WorkerQueue,
    status: QueueStatus | None,
    component: ComponentStatus | None,
    refusals: Sequence[tuple[str, Refusal]],
) -> KnownQueue:
    workload = worker_name(queue.name)
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
        refusal=next((one for name, one in refusals if name == workload), None),
    )


def _refusals(observation: Observation | None, now: datetime) -> list[tuple[str, Refusal]]:
    """Return, newest first, the workloads that a cluster has refused a pod lately, with its words.

    A pod that was refused by a quota and then finds no node has both warnings: the newest holds.
    """
    notices = (observation.notices or ()) if observation else ()
    found = []
    for one in sorted(notices, key=lambda notice: notice.last_at, reverse=True):
        is_quota = one.reason == "FailedCreate" and "quota" in one.message
        is_recent = not one.is_over and now - one.last_at < RECENT
        if is_recent and (is_quota or one.reason == "FailedScheduling"):
            found.append((_workload(one.object), Refusal(message=one.message, is_quota=is_quota)))
    return found


def _workload(name: str) -> str:
    """Return what a pod or a replica set belongs to: Kubernetes appends a part to its name each."""
    kind, _, rest = name.partition("/")
    return rest.rsplit("-", 2 if kind == "Pod" else 1)[0]
