"""What tasks are to a cloud: how each one learns it from a pod's service account, label or address.

Workers, task pods and the triggerer have it, because the second half of a deferred task runs there;
the api-server only where it reads task logs from a bucket without a key. The scheduler and the DAG
processor do not.

Sources: "IAM roles for service accounts" and "EKS Pod Identity" of AWS, "Azure AD Workload
Identity", "Workload Identity Federation for GKE".
"""

from dataclasses import dataclass
from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.render.target import Target


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """How one kind of identity reaches a pod. `annotation` of the service account has its name,
    `label` marks the pod for the cloud's webhook, which adds a token for `audience`. `addresses`
    are what pods must reach on their node, as (block, port).
    """

    annotation: str = ""
    label: tuple[str, str] | None = None
    audience: str = ""
    addresses: tuple[tuple[str, int], ...] = ()


CLOUDS = {
    "irsa": Cloud(annotation=names.AWS_ROLE, audience="sts.amazonaws.com"),
    # Which role it is, EKS knows by itself: an association names namespace and service account.
    "eks-pod-identity": Cloud(
        audience="pods.eks.amazonaws.com",
        addresses=(("169.254.170.23/32", 80), ("fd00:ec2::23/128", 80)),
    ),
    "azure": Cloud(
        annotation=names.AZURE_CLIENT,
        label=("azure.workload.identity/use", "true"),
        audience="api://AzureADTokenExchange",
    ),
    # The metadata server of GKE, which stands before that of the node.
    "google": Cloud(
        annotation=names.GOOGLE_ACCOUNT,
        addresses=(("169.254.169.254/32", 80), ("169.254.169.252/32", 988)),
    ),
}
AUDIENCES = tuple(cloud.audience for cloud in CLOUDS.values() if cloud.audience)


def cloud_of(target: Target) -> Cloud:
    """Return how the Deployment's identity reaches its pods; an empty one where it has none."""
    identity = target.spec.settings.workload_identity
    return CLOUDS[identity.kind] if identity else Cloud()


def reads_logs(target: Target) -> bool:
    """Return whether the api-server needs the identity, to show logs that tasks wrote with it."""
    store = target.config.object_store
    return bool(store and store.needs_identity and target.spec.settings.workload_identity)


def account_annotations(target: Target) -> dict[str, str]:
    """Return the annotations of the service accounts that have the identity."""
    identity, annotation = target.spec.settings.workload_identity, cloud_of(target).annotation
    return {annotation: identity.name} if identity and annotation else {}


def with_identity(target: Target, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a pod with what the cloud's webhook looks for."""
    label = cloud_of(target).label
    return {**metadata, "labels": {**metadata["labels"], label[0]: label[1]}} if label else metadata


def read_at_start(target: Target) -> list[dict[str, str]]:
    """Return what a pod got of an identity when it was created: another one replaces the pod."""
    identity = target.spec.settings.workload_identity
    return [{identity.kind: identity.name}] if identity else []
