"""Whether an object is ready: the rules of kstatus, pure.

Source: sigs.k8s.io/cli-utils `pkg/kstatus/status`. They differ from it in one place, as Argo CD's
do: a Job is current when it completed, not when it started. An object without a rule is current as
soon as it exists.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from apps.dataplane.kubernetes.api.kinds import Manifest

State = Literal["current", "in_progress", "failed", "terminating"]
UNSCHEDULABLE_AFTER_SECONDS = 15


@dataclass(frozen=True)
class Status:
    """The status of one object, with a message where it is not `current`."""

    state: State
    message: str = ""


CURRENT = Status("current")


def status_of(item: Manifest, *, now: datetime) -> Status:
    """Return the status of one live object."""
    if item["metadata"].get("deletionTimestamp"):
        return Status("terminating", "It is being deleted.")
    status = item.get("status") or {}
    observed = status.get("observedGeneration")
    if observed is not None and observed != item["metadata"].get("generation", observed):
        return Status("in_progress", "The cluster has not seen the change yet.")
    rule = _RULES.get(item["kind"])
    return rule(item, now) if rule else CURRENT


def is_seen(item: Manifest) -> bool:
    """Return whether the controllers have observed the present generation of the object."""
    observed = (item.get("status") or {}).get("observedGeneration")
    return observed is not None and observed == item["metadata"].get("generation", observed)


def wanted_of(workload: Manifest) -> int:
    """Return how many pods a Deployment or StatefulSet should have."""
    replicas = workload.get("spec", {}).get("replicas", 1)
    return int(replicas if replicas is not None else 1)


def condition(item: Manifest, name: str) -> Mapping[str, Any]:
    """Return one condition of an object, empty if it has none by that name."""
    for found in (item.get("status") or {}).get("conditions") or ():
        if found.get("type") == name:
            return found  # type: ignore[no-any-return]  # raw JSON
    return {}


def is_true(item: Manifest, name: str) -> bool:
    """Return whether a condition of an object holds."""
    return condition(item, name).get("status") == "True"


def parse_time(text: str | None) -> datetime | None:
    """Read a time of the Kubernetes API; None stays None, and so does what is no time."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _deployment(item: Manifest, now: datetime) -> Status:
    status, wanted = item.get("status") or {}, wanted_of(item)
    failure = condition(item, "ReplicaFailure")
    if failure.get("status") == "True":
        return Status("failed", f"Its pods cannot be created: {failure.get('message', '')}")
    if condition(item, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Status("failed", "Its pods did not become ready in time.")
    if status.get("observedGeneration") is None:
        return Status("in_progress", "The cluster has not seen it yet.")
    return _counts(
        wanted,
        updated=status.get("updatedReplicas", 0),
        total=status.get("replicas", 0),
        ready=min(status.get("readyReplicas", 0), status.get("availableReplicas", 0)),
    )


def _stateful_set(item: Manifest, now: datetime) -> Status:
    status, wanted = item.get("status") or {}, wanted_of(item)
    if status.get("observedGeneration") is None:
        return Status("in_progress", "The cluster has not seen it yet.")
    strategy = item.get("spec", {}).get("updateStrategy", {}).get("type", "RollingUpdate")
    updated = wanted
    if strategy == "RollingUpdate" and status.get("updateRevision") != status.get(
        "currentRevision"
    ):
        updated = status.get("updatedReplicas", 0)
    return _counts(
        wanted,
        updated=updated,
        total=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
    )


def _counts(wanted: int, *, updated: int, total: int, ready: int) -> Status:
    if updated < wanted:
        return Status("in_progress", f"{updated} of {wanted} are new.")
    if total > wanted:
        return Status("in_progress", f"{total - wanted} old ones are still terminating.")
    if ready < wanted:
        return Status("in_progress", f"{ready} of {wanted} ready.")
    return CURRENT


def _job(item: Manifest, now: datetime) -> Status:
    if is_true(item, "Complete"):
        return CURRENT
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        return Status("failed", f"It failed: {failed.get('message', '')}".rstrip(": "))
    if (item.get("spec") or {}).get("suspend"):
        # As intended: it is suspended until it is needed.
        return CURRENT
    status = item.get("status") or {}
    if status.get("failed"):
        return Status("in_progress", f"Running again after {status['failed']} failures.")
    return Status("in_progress", "Running." if status.get("active") else "It has not started yet.")


def _claim(item: Manifest, now: datetime) -> Status:
    phase = (item.get("status") or {}).get("phase", "Pending")
    if phase == "Bound":
        return CURRENT
    if phase == "Lost":
        return Status("failed", "The volume behind it is gone.")
    # Whether it waits for its first pod, which is as it should be, only its events tell.
    return Status("in_progress", "Waiting for a volume.")


def _namespace(item: Manifest, now: datetime) -> Status:
    phase = (item.get("status") or {}).get("phase", "Active")
    return CURRENT if phase == "Active" else Status("terminating", "It is being deleted.")


def _pod(item: Manifest, now: datetime) -> Status:
    phase = (item.get("status") or {}).get("phase", "Pending")
    if phase == "Succeeded" or (phase == "Running" and is_true(item, "Ready")):
        return CURRENT
    if phase == "Failed":
        return Status("failed", "It failed.")
    scheduled = condition(item, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        since = parse_time(scheduled.get("lastTransitionTime"))
        if since and (now - since).total_seconds() >= UNSCHEDULABLE_AFTER_SECONDS:
            return Status("failed", f"No node can run it: {scheduled.get('message', '')}")
    return Status("in_progress", "Starting.")


def _scaled_object(item: Manifest, now: datetime) -> Status:
    ready = condition(item, "Ready")
    if ready.get("status") == "True":
        return CURRENT
    if ready.get("status") == "False":
        # It recovers when the query works, and no later stage depends on it.
        return Status("in_progress", f"KEDA: {ready.get('message', 'it is not ready')}")
    return Status("in_progress", "KEDA has not seen it yet.")


_RULES: dict[str, Callable[[Manifest, datetime], Status]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Namespace": _namespace,
    "Pod": _pod,
    "ScaledObject": _scaled_object,
}
