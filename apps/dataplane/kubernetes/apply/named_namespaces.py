"""Namespaces that their owners made and the portal may write in: taken by one Deployment at a time,
emptied when it goes, and left there.
"""

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import (
    AUTOSCALER,
    CRON_JOB,
    DEPLOYMENT,
    EVENT,
    INGRESS,
    JOB,
    KINDS,
    NAMESPACE,
    POD,
    SCALED_OBJECT,
    STATEFUL_SET,
)
from apps.dataplane.kubernetes.names import (
    AUDIENCE_ANNOTATION,
    COMPONENT_LABEL,
    DEPLOYMENT_LABEL,
    NAME_ANNOTATION,
    POD_OPERATOR_ANNOTATION,
    PORTAL_LABEL,
    PRIORITY_ANNOTATION,
    REVISION_ANNOTATION,
    TOLERATED_ANNOTATION,
)
from apps.dataplane.kubernetes.observe.objects.live_objects import is_ours
from apps.dataplane.kubernetes.observe.reasons import quote

_APART = (CRON_JOB, DEPLOYMENT, STATEFUL_SET, JOB, SCALED_OBJECT, POD, EVENT, AUTOSCALER, INGRESS)
# What is left when the workloads of a Deployment are gone.
OTHERS = tuple(kind for kind in KINDS if kind.is_namespaced and kind not in _APART)
# What says whose a namespace is. How closed it is (Pod Security) stays.
LABELS = (PORTAL_LABEL, DEPLOYMENT_LABEL, COMPONENT_LABEL)
ANNOTATIONS = (
    REVISION_ANNOTATION,
    NAME_ANNOTATION,
    AUDIENCE_ANNOTATION,
    POD_OPERATOR_ANNOTATION,
    TOLERATED_ANNOTATION,
    PRIORITY_ANNOTATION,
)


def refuse_to_take(api: Api, namespace: str) -> None:
    """Raise Temporary for a namespace that is not named, and Permanent for one where pods of others
    run: quota and network policies would hold for them.
    """
    if namespace not in api.connection.namespaces:
        raise Temporary("The Deployment has no namespace of this cluster yet.")
    others = api.list(POD, namespace=namespace, metadata_only=True)
    if others:
        name = quote(str(others[0]["metadata"]["name"]))
        raise Permanent(
            f"The namespace {namespace} has pods of others, like {name}. Remove them, or delete "
            "the Deployment and take the namespace off the list of the cluster."
        )


def release_namespace(api: Api, name: str, *, portal_id: str, ref: str) -> None:
    """Take the marks of a Deployment off a namespace, so that another one may take it."""
    namespace = api.find(NAMESPACE, name, metadata_only=True)
    if namespace is None or not is_ours(namespace, portal_id=portal_id, ref=ref):
        return
    changes = {
        "resourceVersion": namespace["metadata"]["resourceVersion"],
        "labels": dict.fromkeys(LABELS),
        "annotations": dict.fromkeys(ANNOTATIONS),
    }
    api.merge(NAMESPACE, name, {"metadata": changes})
