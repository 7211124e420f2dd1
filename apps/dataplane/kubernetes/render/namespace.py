"""The namespace, and how much of the cluster may be used in it."""

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.identity import cloud_of
from apps.dataplane.kubernetes.render.sizes import Share, cpus, mebibytes
from apps.dataplane.kubernetes.render.target import Target

COMPONENT = "namespace"


def namespace(target: Target) -> Manifest:
    """Return the namespace, in which Kubernetes itself refuses pods that are not "restricted"."""
    labels = {
        f"{names.SECURITY}/enforce": "restricted",
        f"{names.SECURITY}/audit": "restricted",
        f"{names.SECURITY}/warn": "restricted",
        **target.labels(COMPONENT),
    }
    annotations = {
        names.REVISION_ANNOTATION: str(target.spec.revision),
        names.NAME_ANNOTATION: target.spec.name,
    }
    if audience := cloud_of(target).audience:
        annotations[names.AUDIENCE_ANNOTATION] = audience
    annotations |= _of_task_pods(target)
    metadata = {"name": target.namespace, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _of_task_pods(target: Target) -> dict[str, str]:
    """Return what the policies for task pods read here, where no pod can write."""
    settings = target.spec.settings
    tolerated = (f"{one.key}={one.value}" for one in settings.tolerations)
    found = {
        names.POD_OPERATOR_ANNOTATION: "on" if settings.pod_operator else "",
        names.TOLERATED_ANNOTATION: ",".join(dict.fromkeys(tolerated)),
        names.PRIORITY_ANNOTATION: settings.priority_class,
    }
    return {name: value for name, value in found.items() if value}


def quota(target: Target) -> Manifest:
    """Return the most that the Deployment may use: all its workers several times over, as old ones
    finish their tasks beside new ones, and a number of task pods; or what the settings say.
    """
    spec = target.spec
    most = sizes.most_requests(spec.settings, executor=spec.executor, queues=spec.queues)
    memory = mebibytes(most.memory_mib)
    hard = {
        "requests.cpu": cpus(most.cpu_millis),
        "requests.memory": memory,
        "limits.memory": memory,
        "pods": str(2 * most.containers),
        "persistentvolumeclaims": "10",
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    }
    return target.manifest("ResourceQuota", "deployment", component=COMPONENT, spec={"hard": hard})


def limits(target: Target) -> Manifest:
    """Return the defaults of containers without resources, as in pods of users' own."""
    task: Share = sizes.TASK
    memory = mebibytes(task.memory_mib)
    limit = {
        "type": "Container",
        "default": {"cpu": cpus(task.most_cpu_millis), "memory": memory},
        "defaultRequest": {"cpu": cpus(task.cpu_millis), "memory": memory},
    }
    return target.manifest(
        "LimitRange", "containers", component=COMPONENT, spec={"limits": [limit]}
    )
