"""Mark the pods of busy workers, so that idle ones are removed first on scale-down.

A ReplicaSet removes the pod with the lowest `pod-deletion-cost` first; the cost is the number of
tasks that run there. Best effort: a late mark is covered by Celery's warm shutdown. Source:
kubernetes.io, "ReplicaSet: Pod deletion cost".
"""

from collections import Counter
from collections.abc import Mapping

from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import Conflict, NotFound
from apps.dataplane.kubernetes.api.kinds import POD, Manifest
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import QUEUE_LABEL
from apps.dataplane.kubernetes.observe.objects.live_objects import selector
from apps.dataplane.kubernetes.proxy.airflow_api import call_airflow
from apps.dataplane.spec import DeploymentSpec

COST = "controller.kubernetes.io/pod-deletion-cost"
RUNNING = "/api/v2/dags/~/dagRuns/~/taskInstances?state=running&limit=100&offset={}"
PAGE, MOST_TASKS = 100, 2000


def mark_busy_workers(api: Api, *, spec: DeploymentSpec, portal_id: str) -> int:
    """Write the number of running tasks on each worker's pod, and return how many marks changed."""
    labels = f"{selector(portal_id=portal_id, ref=spec.ref)},{QUEUE_LABEL}"
    pods = api.list(POD, namespace=api.home(spec.ref), labels=labels)
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not alive:
        return 0
    tasks = _running_tasks(api, spec)
    changed = [(pod, cost) for pod in alive if (cost := _cost(pod, tasks)) != _marked(pod)]
    return sum(in_parallel(lambda one: _mark(api, *one), changed))


def _running_tasks(api: Api, spec: DeploymentSpec) -> Mapping[str, int]:
    """Count the running tasks of each host. Raises Temporary when Airflow does not report it."""
    counts: Counter[str] = Counter()
    for offset in range(0, MOST_TASKS, PAGE):
        answer = call_airflow(api, spec=spec, method="GET", path=RUNNING.format(offset))
        if answer.status != 200 or not isinstance(answer.data, dict):
            raise Temporary(f"Airflow does not report which tasks run ({answer.status}).")
        found = answer.data.get("task_instances") or []
        counts.update(str(task.get("hostname") or "") for task in found)
        if len(found) < PAGE:
            break
    return counts


def _cost(pod: Manifest, tasks: Mapping[str, int]) -> str:
    """Sum the tasks of all names of a pod. It may have an address of each family, and Airflow knows
    it by that of IPv4, or by the other one in brackets.
    """
    status = pod.get("status") or {}
    addresses = {str(one.get("ip", "")) for one in status.get("podIPs") or ()}
    addresses |= {str(status.get("podIP", ""))}
    names = {pod["metadata"]["name"], *addresses, *(f"[{one}]" for one in addresses)} - {""}
    return str(sum(tasks.get(name, 0) for name in names))


def _marked(pod: Manifest) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(COST, "0"))


def _mark(api: Api, pod: Manifest, cost: str) -> bool:
    metadata = pod["metadata"]
    changes = {"metadata": {"annotations": {COST: cost}, "uid": metadata["uid"]}}
    try:
        api.merge(POD, metadata["name"], changes, namespace=metadata["namespace"])
    except (NotFound, Conflict):
        return False
    return True
