"""Whether the quotas of a namespace have room for the pod of one more task.

Airflow's executor tries a pod that a quota refuses again and again, and nothing in the cluster says
so: events tell of the pods of workloads alone.
"""

from collections.abc import Iterable
from decimal import Decimal

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.observe.live_metrics import quantity
from apps.dataplane.kubernetes.observe.reasons import quote
from apps.dataplane.kubernetes.render.sizes import TASK, cpus, mebibytes

# What a task takes that asks for nothing else.
_NEEDED = {
    ("pods", "count/pods"): "1",
    ("requests.cpu", "cpu"): cpus(TASK.cpu_millis),
    ("limits.cpu",): cpus(TASK.most_cpu_millis),
    ("requests.memory", "memory", "limits.memory"): mebibytes(TASK.memory_mib),
}
NEEDED = {name: quantity(text) for names, text in _NEEDED.items() for name in names}


def full_quota(quotas: Iterable[Manifest]) -> str:
    """Return which quota has no room and for what, in one sentence; "" where all have. Quotas of
    some pods alone, by priority or otherwise, are left out. Pure.
    """
    for quota in quotas:
        spec = quota.get("spec") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        full = [
            f"{name} {used[name]} of {hard[name]}"
            for name, needed in NEEDED.items()
            if name in hard and name in used and _lacks(hard[name], used[name], needed)
        ]
        if full:
            name = quota["metadata"]["name"]
            return quote(f"{name} has no room for the pod of one more task: {', '.join(full)}.")
    return ""


def _lacks(hard: object, used: object, needed: Decimal) -> bool:
    return quantity(used) + needed > quantity(hard)
