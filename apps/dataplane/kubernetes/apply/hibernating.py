"""Let tasks end before a Deployment hibernates: the api-server stays as long as one may report to
it, and what runs longer than the plan allows is deleted.
"""

from datetime import UTC, datetime, timedelta

from apps.dataplane.hibernation.plans import MOST_TASK_MINUTES
from apps.dataplane.hibernation.turns import hibernates_since
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import POD, SCALED_OBJECT, Manifest, kind_of
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, PAUSED_ANNOTATION, QUEUE_LABEL
from apps.dataplane.kubernetes.observe.objects.live_objects import selector
from apps.dataplane.kubernetes.render.pods.placement import TASK
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress, Step

# As which runtime/timekeeping/hibernate.py writes.
TIMEKEEPER = "astro-portal-hibernation"
_PAUSE = f"f:{PAUSED_ANNOTATION}"
ENDED = ("Succeeded", "Failed")
MOST_NAMED = 3


def pods_with_tasks(api: Api, *, spec: DeploymentSpec, portal_id: str) -> list[Manifest]:
    """Return the pods that may still run tasks: of workers, tasks, and a local scheduler."""
    pods = api.list(
        POD,
        namespace=api.home(spec.ref),
        labels=selector(portal_id=portal_id, ref=spec.ref),
    )
    return [pod for pod in pods if _may_run_tasks(pod, spec)]


def wait_for(
    api: Api, pods: list[Manifest], *, spec: DeploymentSpec, progress: Progress
) -> Progress:
    """Add to a pass that it waits for these pods; delete them where their time is over."""
    now = datetime.now(UTC)
    limit = hibernates_since(spec.hibernation, now) + timedelta(
        minutes=spec.hibernation.task_minutes
    )
    if now >= limit:
        in_parallel(lambda pod: _delete(api, pod), pods)
    names = sorted(pod["metadata"]["name"] for pod in pods)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    step = Step(
        key="tasks",
        title="Let running tasks end",
        state="running",
        detail=f"Waiting for {', '.join(names[:MOST_NAMED])}{more}. What still runs at "
        f"{limit:%H:%M} UTC is ended.",
        allowed_seconds=MOST_TASK_MINUTES * 60 + 600,
    )
    return Progress(
        steps=(*progress.steps, step),
        is_done=False,
        retry_after_seconds=progress.retry_after_seconds,
    )


def end(api: Api, pods: list[Manifest]) -> None:
    """Delete these pods, unless they are being deleted by now."""
    staying = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    ending = [pod for pod in pods if pod not in staying and _is_patient(pod)]
    in_parallel(lambda pod: _delete(api, pod), [*staying, *ending])


def _is_patient(pod: Manifest) -> bool:
    return int(pod["metadata"].get("deletionGracePeriodSeconds") or 0) > 0


def without_pause(api: Api, manifest: Manifest, live: Manifest) -> Manifest:
    """Return a rule of KEDA that was applied. A pause that the cluster itself set at the time of a
    plan is not the portal's alone, so applying the rule without it does not end it.
    """
    metadata = live["metadata"]
    wanted = manifest["metadata"].get("annotations") or {}
    is_pause = PAUSED_ANNOTATION in (metadata.get("annotations") or {})
    if kind_of(manifest) != SCALED_OBJECT or PAUSED_ANNOTATION in wanted or not is_pause:
        return live
    if not any(_is_pause_of_timekeeper(one) for one in metadata.get("managedFields") or ()):
        return live
    change = {"metadata": {"annotations": {PAUSED_ANNOTATION: None}}}
    name, namespace = metadata["name"], metadata["namespace"]
    return api.merge(SCALED_OBJECT, name, change, namespace=namespace)


def _is_pause_of_timekeeper(entry: Manifest) -> bool:
    metadata = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    return entry.get("manager") == TIMEKEEPER and _PAUSE in (metadata.get("f:annotations") or {})


def _may_run_tasks(pod: Manifest, spec: DeploymentSpec) -> bool:
    if (pod.get("status") or {}).get("phase") in ENDED:
        return False
    labels = pod["metadata"].get("labels") or {}
    component = labels.get(COMPONENT_LABEL)
    runs_tasks = component == "scheduler" and spec.executor == "local"
    return QUEUE_LABEL in labels or component == TASK or runs_tasks


def _delete(api: Api, pod: Manifest) -> None:
    metadata = pod["metadata"]
    api.delete(
        POD,
        metadata["name"],
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        grace_seconds=0,
    )
