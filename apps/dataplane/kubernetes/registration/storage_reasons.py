"""Why pods could not write to a volume, in sentences: from the pods, their claim and its events."""

from collections.abc import Sequence
from datetime import UTC, datetime

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.observe.reasons import containers_of, problem_of, quote

Reason = tuple[str, str]
_NOT_OURS = (
    "Pods may not write there: the file system refuses user {user}.",
    "Choose a class whose volumes belong to the group of their pods (fsGroup), or let its "
    "provisioner make them writable for all.",
)
_FULL = (
    "The volume is full, although it is new.",
    "Check the storage behind the class, and the sizes in the settings.",
)
# What programs say of files → what it means, what to do.
_WRITING = {
    "not continued": (
        "The file system cannot continue a file or rename a folder, as one made of a bucket "
        "cannot.",
        "Choose a class with files, such as NFS. Logs go to a bucket by the setting “Object "
        "store”.",
    ),
    "Permission denied": _NOT_OURS,
    "Operation not permitted": _NOT_OURS,
    "Read-only file system": (
        "The volume is mounted for reading only.",
        "Check the mount options of the storage class.",
    ),
    "No space left": _FULL,
    "Disk quota exceeded": _FULL,
    "did not appear": (
        "What one pod wrote did not appear in the other one: they do not share the volume.",
        "Choose a storage class that offers ReadWriteMany, or an object store for logs.",
    ),
}
# The reason of an event → what it means, what to do. The last ones are nearest to the goal.
_WAITING = {
    "FailedScheduling": (
        "No node can run the pod: {words}",
        "Check whether nodes are full, and whether volumes and nodes are in the same zone.",
    ),
    "ProvisioningFailed": (
        "The volume cannot be created: {words}",
        "Choose a storage class that offers {access}, in the settings.",
    ),
    "FailedAttachVolume": (
        "The volume cannot be attached to the node: {words}",
        "Choose a storage class that offers {access}: some volumes belong to one node.",
    ),
    "FailedMount": (
        "The volume cannot be mounted: {words}",
        "Check the storage driver of the nodes, and the network between them and the storage.",
    ),
}
_SILENT = "the cluster does not say why."


def failure_of(pod: Manifest, *, user: int) -> Reason:
    """Return why a pod that failed could not write as `user`, and what to do."""
    status = pod.get("status") or {}
    ends = [(one.get("state") or {}).get("terminated") or {} for one in containers_of(pod)]
    words = " ".join(str(end.get("message") or end.get("reason") or "") for end in ends).strip()
    for sign, (detail, remedy) in _WRITING.items():
        if sign in words:
            return detail.format(user=user), remedy
    told = quote(words or str(status.get("message") or "")) or _SILENT
    return f"The pod that writes a file failed: {told}", "Check the events of nodes and pods."


def pending_reason(
    *, claim: Manifest | None, pods: Sequence[Manifest], events: Sequence[Manifest], access: str
) -> Reason:
    """Return why nothing was written yet, and what to do. `events` are the warnings of the
    namespace, `access` is the mode of the claim.
    """
    for pod in pods:
        if problem := problem_of(pod, now=datetime.now(UTC)):
            return problem, "Test the storage again afterwards."
    concerned = {one["metadata"]["name"] for one in (*pods, *([claim] if claim else ()))}
    own = [one for one in events if (one.get("involvedObject") or {}).get("name") in concerned]
    for reason, (detail, remedy) in reversed(_WAITING.items()):
        for event in own:
            if event.get("reason") == reason:
                words = quote(str(event.get("message") or "")) or _SILENT
                return detail.format(words=words), remedy.format(access=access)
    return _silent(claim, pods)


def _silent(claim: Manifest | None, pods: Sequence[Manifest]) -> Reason:
    phase = ((claim or {}).get("status") or {}).get("phase", "")
    if phase != "Bound":
        return (
            f"The volume was not created, and {_SILENT}",
            "Check that the provisioner of the storage class is running.",
        )
    if any((pod.get("status") or {}).get("phase") == "Running" for pod in pods):
        return "A pod writes, and that does not end.", "Check that the nodes reach the storage."
    return (
        f"The volume is there, its pod does not start, and {_SILENT}",
        "Try again: a node may be slow to load the image or to mount the volume.",
    )
