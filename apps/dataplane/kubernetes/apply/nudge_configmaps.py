"""Bring new code, and new connections and variables, into running pods at once.

A kubelet refreshes a pod's ConfigMaps and Secrets when it next syncs the pod, about once a minute,
and at once when the pod changes: an annotation is enough.
"""

from contextlib import suppress

from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import POD, Manifest
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, PREFIX
from apps.dataplane.kubernetes.observe.objects.live_objects import selector

CODE_ANNOTATION = f"{PREFIX}/code"
ENVIRONMENT_ANNOTATION = f"{PREFIX}/environment"
READS_CODE = ("dag-processor", "scheduler", "triggerer", "worker")


def nudge_configmaps(
    api: Api, *, portal_id: str, ref: str, digest: str, annotation: str = CODE_ANNOTATION
) -> None:
    """Annotate the pods that read code with the digest of what is new. A pod that cannot be
    annotated gets it a minute later.
    """
    readers = f"{COMPONENT_LABEL} in ({','.join(READS_CODE)})"
    labels = f"{selector(portal_id=portal_id, ref=ref)},{readers}"
    with suppress(DataPlaneError):
        pods = api.list(POD, namespace=api.home(ref), labels=labels, metadata_only=True)
        in_parallel(lambda pod: _mark(api, pod, {annotation: digest}), pods)


def _mark(api: Api, pod: Manifest, marks: dict[str, str]) -> None:
    metadata = pod["metadata"]
    changes = {"metadata": {"annotations": marks, "uid": metadata["uid"]}}
    with suppress(DataPlaneError):
        api.merge(POD, metadata["name"], changes, namespace=metadata["namespace"])
