"""Try the storage of a cluster the way in which Airflow uses it: pods write to volumes.

In a namespace of its own there is one claim for logs and code, as all pods of an Airflow share it,
and one for databases, with pods that have the users of Airflow's own: see `storage_pods`. The
namespace is deleted whatever happens; one that a process left behind is deleted by the next test.
"""

import secrets
import time
from datetime import UTC, datetime

from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import CLAIM, EVENT, NAMESPACE, POD, Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.observe.objects.kstatus import parse_time
from apps.dataplane.kubernetes.registration.storage_pods import (
    LEFT_BEHIND,
    TRIAL_LABEL,
    Volume,
    manifests,
    volumes_of,
)
from apps.dataplane.kubernetes.registration.storage_reasons import failure_of, pending_reason
from apps.dataplane.status import Finding

NAMESPACE_PREFIX = "astro-portal-storage-"
WAIT_SECONDS = 120.0
CLEANUP_SECONDS = 30.0
PAUSE_SECONDS = 1.0


def try_storage(
    api: Api, config: ClusterConfig, *, wait_seconds: float = WAIT_SECONDS
) -> tuple[Finding, ...]:
    """Let pods write to volumes, and return a finding for each volume, within `wait_seconds` and
    what deleting takes. Errors are findings; nothing is raised.
    """
    if config.connection.namespaces:
        return (
            Finding(
                title="Storage",
                is_ok=True,
                detail="It is not tested where the portal may write in named namespaces only: a "
                "test makes a namespace of its own.",
            ),
        )
    namespace = f"{NAMESPACE_PREFIX}{secrets.token_hex(4)}"
    volumes = volumes_of(config)
    try:
        _remove_left_behind(api, config)
        _begin(api, config, namespace, volumes)
        found = _watched(api, namespace, volumes, wait_seconds)
    except DataPlaneError as error:
        found = (_not_tried(error),)
    return *found, *_removed(api, namespace)


def _begin(api: Api, config: ClusterConfig, namespace: str, volumes: tuple[Volume, ...]) -> None:
    for manifest in manifests(config, namespace, volumes):
        api.apply(manifest, metadata_only=True)


def _watched(
    api: Api, namespace: str, volumes: tuple[Volume, ...], wait_seconds: float
) -> tuple[Finding, ...]:
    """Wait for the pods, and return what became of each volume."""
    began = time.monotonic()
    over: dict[str, Finding] = {}
    while len(over) < len(volumes):
        pods = api.list(POD, namespace=namespace)
        took = time.monotonic() - began
        for volume in volumes:
            if volume.name not in over and (finding := _outcome(volume, pods, took)):
                over[volume.name] = finding
        if took >= wait_seconds:
            break
        time.sleep(PAUSE_SECONDS)
    for volume in volumes:
        if volume.name not in over:
            over[volume.name] = _late(api, namespace, volume, wait_seconds)
    return tuple(over[volume.name] for volume in volumes)


def _outcome(volume: Volume, pods: list[Manifest], took: float) -> Finding | None:
    """Return what the pods of a volume found, None while they are at it."""
    own = [pod for pod in pods if pod["metadata"]["name"].startswith(f"{volume.name}-")]
    phases = [(pod.get("status") or {}).get("phase") for pod in own]
    if "Failed" in phases:
        detail, remedy = failure_of(own[phases.index("Failed")], user=volume.user)
        return Finding(title=volume.title, is_ok=False, detail=detail, remedy=remedy)
    if len(own) < len(volume.pods) or set(phases) != {"Succeeded"}:
        return None
    return Finding(title=volume.title, is_ok=True, detail=_success(volume, own, took))


def _success(volume: Volume, pods: list[Manifest], took: float) -> str:
    after = f"after {max(1, round(took))} s"
    if not volume.is_shared:
        return f"A pod wrote, read and deleted a file on {volume.in_words}, {after}."
    nodes = {str((pod.get("spec") or {}).get("nodeName", "")) for pod in pods}
    both = f"Two pods wrote, read and deleted each other's files on {volume.in_words}, {after}."
    if len(nodes) > 1:
        return f"{both} They ran on two nodes."
    return f"{both} They ran on one node, so this says nothing about several."


def _late(api: Api, namespace: str, volume: Volume, wait_seconds: float) -> Finding:
    claim = api.find(CLAIM, volume.name, namespace=namespace)
    pods = api.list(POD, namespace=namespace, labels=f"{names.COMPONENT_LABEL}={volume.name}")
    events = api.list(EVENT, namespace=namespace, fields="type=Warning")
    why, remedy = pending_reason(claim=claim, pods=pods, events=events, access=volume.access)
    detail = f"Nothing could be written to {volume.in_words} in {wait_seconds:.0f} s. {why}"
    return Finding(title=volume.title, is_ok=False, detail=detail, remedy=remedy)


def _not_tried(error: DataPlaneError) -> Finding:
    return Finding(
        title="Storage test",
        is_ok=False,
        detail=f"Nothing was tried. {error.message}",
        remedy="Test the cluster again: that names what the portal lacks. A policy of the cluster "
        "may also refuse namespaces, claims or pods of this kind.",
    )


def _removed(api: Api, namespace: str) -> tuple[Finding, ...]:
    """Delete the namespace, and return a finding where it does not go."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    try:
        while (there := api.find(NAMESPACE, namespace)) is not None:
            if not there["metadata"].get("deletionTimestamp"):
                api.delete(NAMESPACE, namespace, uid=there["metadata"]["uid"])
            if time.monotonic() >= deadline:
                return (_left(namespace, "It is still being deleted."),)
            time.sleep(PAUSE_SECONDS)
    except DataPlaneError as error:
        return (_left(namespace, error.message),)
    return ()


def _left(namespace: str, reason: str) -> Finding:
    return Finding(
        title="What the test made",
        is_ok=False,
        detail=f"The namespace {namespace} is left in the cluster. {reason}",
        remedy="The next storage test deletes it, ten minutes from now at the earliest. If it "
        "stays, a volume may not be deleted: look at the events of its claims.",
    )


def _remove_left_behind(api: Api, config: ClusterConfig) -> None:
    """Delete the namespaces of trials whose process has ended, without waiting for it."""
    labels = f"{TRIAL_LABEL}={config.portal_id}"
    oldest = datetime.now(UTC) - LEFT_BEHIND
    for namespace in api.list(NAMESPACE, labels=labels, metadata_only=True):
        metadata = namespace["metadata"]
        made_at = parse_time(metadata.get("creationTimestamp"))
        is_old = made_at is not None and made_at < oldest
        if is_old and metadata["name"].startswith(NAMESPACE_PREFIX):
            api.delete(NAMESPACE, metadata["name"], uid=metadata["uid"])
