"""Run a Job to its end and bring back its answer. It takes as long as the Job does.

suspended Job ─► what it reads, owned by it ─► not suspended ─► its pod ends ─► log ─► deleted

Whoever is killed on the way leaves a Job that ends by itself and is collected with all that it
owns; the next check makes another one.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary, Unreachable
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import JOB, POD, Manifest, object_id
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.observe.objects.live_objects import owned_namespace
from apps.dataplane.kubernetes.observe.reasons import IMAGE, containers_of, quote, reasons_of
from apps.dataplane.kubernetes.projects import manifests
from apps.dataplane.kubernetes.projects.answers import NONE, Answer, read_answer
from apps.dataplane.kubernetes.projects.errors import failure_of
from apps.dataplane.kubernetes.projects.manifests import ProjectJob

POLL_SECONDS = 0.5
# A pod that is not running after these is looked at for the reason, and given up after more.
LOOK_SECONDS = 30.0
START_SECONDS = 180.0
MOST_LOG_BYTES = 24 * 1024**2
LOG_SECONDS = 60.0


def run_job(
    api: Api, project: ProjectJob, *, failure: Callable[[Answer], DataPlaneError] = failure_of
) -> Answer:
    """Run a Job and return what it answers.

    Raises Permanent or Temporary for whatever hinders it, and the `failure` that it names.
    """
    portal_id, ref = project.config.portal_id, project.spec.ref
    if owned_namespace(api, portal_id=portal_id, ref=ref) is None:
        raise Temporary(
            "The Deployment is not on its cluster yet. Check it again as soon as it runs."
        )
    made = api.apply(manifests.job(project, is_suspended=True))
    uid = str(made["metadata"]["uid"])
    try:
        in_parallel(api.apply, manifests.owned(project, uid=uid))
        api.apply(manifests.job(project, is_suspended=False))
        pod = _wait(api, project)
        answer = _read(api, project, pod)
    finally:
        with suppress(DataPlaneError):
            api.delete(JOB, project.name, uid=uid, namespace=project.namespace, grace_seconds=0)
    if not answer.is_there:
        raise _end_of(pod, project)
    if answer.failed:
        raise failure(answer)
    return answer


def _wait(api: Api, project: ProjectJob) -> Manifest:
    """Return the pod of the Job when it has ended."""
    began = time.monotonic()
    looked_at = began
    while True:
        now = time.monotonic()
        pod = _pod_of(api, project)
        if pod and (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return pod
        if now - began > project.seconds + START_SECONDS:
            raise _late(project)
        if not _is_running(pod) and now - looked_at > LOOK_SECONDS:
            _look(api, project, pod, waited_seconds=now - began)
            looked_at = now
        if not pod:
            _refuse_over(api, project)
        time.sleep(POLL_SECONDS)


def _pod_of(api: Api, project: ProjectJob) -> Manifest | None:
    try:
        pods = api.list(POD, namespace=project.namespace, labels=project.pods)
    except Unreachable:
        raise
    except Temporary:
        # The next look may succeed.
        return None
    return pods[0] if pods else None


def _is_running(pod: Manifest | None) -> bool:
    return pod is not None and (pod.get("status") or {}).get("phase") == "Running"


def _refuse_over(api: Api, project: ProjectJob) -> None:
    """Raise why a Job is over that has no pod: a pod is deleted when the time of its Job is over,
    or when its node goes away.
    """
    found = api.find(JOB, project.name, namespace=project.namespace)
    if found is None:
        raise _interrupted()
    for condition in (found.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            is_late = condition.get("reason") == "DeadlineExceeded"
            raise _late(project) if is_late else _interrupted()


def _look(api: Api, project: ProjectJob, pod: Manifest | None, *, waited_seconds: float) -> None:
    """Raise the reason why a pod does not start, if it will not."""
    one = object_id(manifests.job(project, is_suspended=False))
    reasons = reasons_of(api, namespace=project.namespace, workloads=[one], now=datetime.now(UTC))
    if reasons:
        _, _, reason = reasons[0].partition(": ")
        is_quota = "exceeded quota" in reason
        is_image = any(_waiting(c).get("reason") in IMAGE for c in containers_of(pod or {}))
        raise Temporary(reason) if is_quota or not is_image else Permanent(reason)
    if waited_seconds > START_SECONDS:
        raise Temporary(f"The cluster did not start the Job in three minutes. {_unplaced(pod)}")


def _waiting(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return (container.get("state") or {}).get("waiting") or {}


def _unplaced(pod: Manifest | None) -> str:
    for condition in ((pod or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return quote(str(condition.get("message", "")))
    return ""


def _read(api: Api, project: ProjectJob, pod: Manifest) -> Answer:
    path = POD.path(namespace=project.namespace, name=pod["metadata"]["name"], part="log")
    try:
        log = api.text(path, query={"limitBytes": str(MOST_LOG_BYTES)}, seconds=LOG_SECONDS)
    except Unreachable:
        raise
    except DataPlaneError:
        return NONE
    return read_answer(log)


def _end_of(pod: Manifest, project: ProjectJob) -> DataPlaneError:
    """Return why a pod ended without an answer."""
    status = pod.get("status") or {}
    ended = [(c.get("state") or {}).get("terminated") or {} for c in containers_of(pod)]
    if any(one.get("reason") == "OOMKilled" for one in ended):
        memory = project.share.memory_mib / 1024
        return Permanent(f"The Job needs more than its {memory:g} GiB of memory and was killed.")
    if status.get("reason") == "Evicted":
        message = quote(str(status.get("message", "")))
        return Permanent(
            f"The node evicted the Job, which may need more disk than it has: {message}"
        )
    if status.get("reason") == "DeadlineExceeded":
        return _late(project)
    return _interrupted()


def _interrupted() -> Temporary:
    return Temporary(
        "The Job was interrupted before it could answer, as by a node that went away. Check it "
        "again."
    )


def _late(project: ProjectJob) -> Temporary:
    minutes = project.seconds // 60
    return Temporary(f"The Job took longer than its {minutes} minutes. Check it again.")
