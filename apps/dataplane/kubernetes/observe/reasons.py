"""Why a pod does not run, in messages with a remedy; pure but for one LIST of pods."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import scrub
from apps.dataplane.kubernetes.api.kinds import EVENT, POD, Manifest, split_id, title
from apps.dataplane.kubernetes.observe.objects import kstatus

IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
SETUP = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
LONGEST_QUOTE = 240
# What containerd and CRI-O say, first match first: a registry may also deny what it does not have.
PULLS = (
    (
        ("unauthorized", "denied", "forbidden", "authentication", "authorization"),
        "The registry refuses the nodes, or has no such image. Check the pull secret of the image "
        "and of the cluster.",
    ),
    (
        ("not found", "notfound", "manifest unknown"),
        "The registry does not have it. Push it there again, or go back to a revision with "
        "another image. A registry mirror needs a copy at this path. An image with packages is "
        "built again when its project is uploaded with “Show what changes first”.",
    ),
    (
        ("no such host", "timeout", "refused", "unreachable", "x509", "certificate"),
        "The nodes do not reach the registry, or do not trust its certificate. Check the network "
        "of the nodes and the registry.",
    ),
)


# Reasons of the condition DisruptionTarget, which Kubernetes sets before it ends a pod. Source:
# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
DISRUPTIONS = {
    "DeletionByTaintManager": "its node is going away",
    "DeletionByPodGC": "its node is gone",
    "EvictionByEvictionAPI": "its node is being drained",
    "PreemptionByScheduler": "pods of a higher priority need its place",
    "TerminationByKubelet": "its node shuts down or is short of memory or disk",
}


def reasons_of(api: Api, *, namespace: str, workloads: Sequence[str], now: datetime) -> list[str]:
    """Return why workloads (by object id) are not ready, one message per cause."""
    pods = api.list(POD, namespace=namespace)
    messages: dict[str, None] = {}
    for one in workloads:
        own = [pod for pod in pods if owner_of(pod) == title(one)]
        for problem in filter(None, (problem_of(pod, now=now) for pod in own)):
            messages[f"{split_id(one)[1]}: {problem}"] = None
    if not messages:
        messages.update(dict.fromkeys(_failed_creations(api, namespace, workloads)))
    return list(messages)[:3]


def owner_of(pod: Manifest) -> str:
    """Name the workload that a pod belongs to, as `Deployment/scheduler`; empty if to none."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        kind, name = owner.get("kind", ""), owner.get("name", "")
        if kind == "ReplicaSet":
            return f"Deployment/{name.rpartition('-')[0]}"
        if kind in ("StatefulSet", "Job"):
            return f"{kind}/{name}"
    return ""


def problem_of(pod: Manifest, *, now: datetime) -> str:
    """Return what keeps a pod from running, empty if nothing does."""
    if pod["metadata"].get("deletionTimestamp") or _ended_with_its_node(pod):
        return ""
    for container in containers_of(pod):
        message = _container_problem(container)
        if message:
            return message
    status = kstatus.status_of(pod, now=now)
    if status.state == "failed":
        evicted = (pod.get("status") or {}).get("message", "")
        return quote(f"{status.message} {evicted}".strip())
    return ""


def disruption_of(pods: Iterable[Manifest]) -> str:
    """Return why the cluster takes pods away, empty if it takes none: tasks end first as long as
    the node lasts.
    """
    reasons = [reason for pod in pods if (reason := _disruption(pod))]
    if not reasons:
        return ""
    if len(reasons) == 1:
        return (
            f"1 pod has to leave: {reasons[0]}. It finishes its work as long as the node lasts, "
            "and another one takes its place."
        )
    return (
        f"{len(reasons)} pods have to leave: {reasons[0]}. They finish their work as long as the "
        "nodes last, and others take their places."
    )


def _disruption(pod: Manifest) -> str:
    found = kstatus.condition(pod, "DisruptionTarget")
    is_taken = found.get("status") == "True"
    is_leaving = bool(pod["metadata"].get("deletionTimestamp")) or _has_failed(pod)
    return DISRUPTIONS.get(str(found.get("reason")), "") if is_taken and is_leaving else ""


def _ended_with_its_node(pod: Manifest) -> bool:
    """Return whether a pod failed by nothing but the end of its node, and so is replaced."""
    return _has_failed(pod) and bool(_disruption(pod)) and _was_not_evicted(pod)


def _has_failed(pod: Manifest) -> bool:
    return bool((pod.get("status") or {}).get("phase") == "Failed")


def _was_not_evicted(pod: Manifest) -> bool:
    # What took more memory or disk than there is will do so again elsewhere.
    return bool((pod.get("status") or {}).get("reason") != "Evicted")


def containers_of(pod: Manifest) -> Iterator[Mapping[str, Any]]:
    """Yield the statuses of a pod's containers, those that run first before the others."""
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def is_crashing(pod: Manifest) -> bool:
    """Return whether a container of the pod is in back-off after crashes."""
    return any(_waiting(c).get("reason") == "CrashLoopBackOff" for c in containers_of(pod))


def restarts_of(pod: Manifest) -> int:
    """Return how often containers of a pod were restarted."""
    return sum(int(c.get("restartCount") or 0) for c in containers_of(pod))


def quote(text: str) -> str:
    """Shorten a text of the cluster to fit a message."""
    text = scrub(text, ())
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1]}…"


def _waiting(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return (container.get("state") or {}).get("waiting") or {}


def _container_problem(container: Mapping[str, Any]) -> str:
    waiting = _waiting(container)
    reason, words = waiting.get("reason", ""), quote(str(waiting.get("message", "")))
    if reason in IMAGE:
        image = quote(str(container.get("image", "")))
        return (
            f"The image {image} cannot be pulled from {_registry_of(image)}: {words} "
            f"{_remedy_of_pull(str(waiting.get('message', '')))}"
        )
    if reason in SETUP:
        return f"The container {container.get('name')} cannot be created ({reason}): {words}"
    if reason == "CrashLoopBackOff":
        return _crash(container)
    return ""


def _remedy_of_pull(words: str) -> str:
    """Return what to do, by what the kubelet says of a registry's answer."""
    said = words.lower()
    for signs, remedy in PULLS:
        if any(sign in said for sign in signs):
            return remedy
    return "Check the image's name, the registry and the pull secret of the cluster."


def _registry_of(image: str) -> str:
    """Name the registry of an image, which is the mirror where the cluster has one."""
    host, slash, _ = image.partition("/")
    return host if slash and ("." in host or ":" in host) else "Docker Hub"


def _crash(container: Mapping[str, Any]) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    times = int(container.get("restartCount") or 0)
    if ended.get("reason") == "OOMKilled":
        return f"It exceeded its memory limit and was killed {times} times. Choose a larger size."
    return (
        f"It exits by itself (exit code {ended.get('exitCode', 'unknown')}) "
        f"and was restarted {times} times. See its log."
    )


def _failed_creations(api: Api, namespace: str, workloads: Iterable[str]) -> Iterator[str]:
    """Yield the cluster's messages about workloads whose pods it cannot create."""
    titles = {title(one) for one in workloads}
    events = api.list(EVENT, namespace=namespace, fields="type=Warning,reason=FailedCreate")
    for event in events:
        involved = event.get("involvedObject") or {}
        name = str(involved.get("name", ""))
        kind = str(involved.get("kind", ""))
        if kind == "ReplicaSet":
            kind, name = "Deployment", name.rpartition("-")[0]
        if f"{kind}/{name}" in titles:
            yield f"{name}: its pods cannot be created: {quote(str(event.get('message', '')))}"
