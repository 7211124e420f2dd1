"""Nodes in two zones, and one of them goes: a real scheduler of Kubernetes places the pods, and its
real controllers take them away. KWOK plays the nodes.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.production import ProductionSpec, Toleration
from apps.dataplane.status import ComponentStatus
from tests.dataplane.specs import make_spec
from tests.dataplane.world import eventually
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import settle
from tests.kubernetes.machines import node

ZONE = "topology.kubernetes.io/zone"
POOL = "pool.test/name"


@pytest.fixture
def zones(control_plane: ControlPlane) -> Iterator[dict[str, str]]:
    """Two nodes in zone a and one in zone b, which no other Deployment takes: zone by node."""
    pool = secrets.token_hex(3)
    found = {f"n1-{pool}": "a", f"n2-{pool}": "a", f"n3-{pool}": "b"}
    for name, zone in found.items():
        made = node(name)
        made["metadata"]["labels"] |= {ZONE: zone, POOL: pool}
        made["spec"] = {"taints": [{"key": POOL, "value": pool, "effect": "NoSchedule"}]}
        control_plane.kubectl("create", "-f", "-", given=json.dumps({"apiVersion": "v1", **made}))
    yield found
    control_plane.kubectl("delete", "node", "--ignore-not-found", "--wait=false", *found)


def schedulers(control_plane: ControlPlane, ref: str) -> list[dict[str, Any]]:
    text = control_plane.kubectl(
        *("get", "pods", "-n", namespace_of(ref), "-ojson"),
        *("-l", "app.kubernetes.io/component=scheduler"),
    )
    found: list[dict[str, Any]] = json.loads(text)["items"]
    return found


def running(control_plane: ControlPlane, ref: str) -> list[str]:
    """Return the nodes of schedulers that stay."""
    return [
        one["spec"]["nodeName"]
        for one in schedulers(control_plane, ref)
        if one["status"].get("phase") == "Running" and "deletionTimestamp" not in one["metadata"]
    ]


def test_schedulers_run_in_two_zones_and_one_whose_node_goes_is_replaced_and_said(
    control_plane: ControlPlane,
    kubernetes_plane: KubernetesPlane,
    ref: str,
    zones: dict[str, str],
) -> None:
    pool = next(iter(zones)).partition("-")[2]
    settings = ProductionSpec(
        high_availability=True,
        node_selector=((POOL, pool),),
        tolerations=(Toleration(key=POOL, value=pool, effect="NoSchedule"),),
    )
    settle(kubernetes_plane, make_spec(ref, settings=settings))
    assert sorted(zones[name] for name in running(control_plane, ref)) == ["a", "b"]
    there = schedulers(control_plane, ref)
    (leaving,) = [one for one in there if zones[one["spec"]["nodeName"]] == "a"]
    gone, home = leaving["spec"]["nodeName"], ("-n", namespace_of(ref))
    pod = f"pod/{leaving['metadata']['name']}"
    # Held as a pod is whose tasks still run.
    held = json.dumps({"metadata": {"finalizers": ["tests.test/busy"]}})
    control_plane.kubectl("patch", pod, *home, "--type=merge", "-p", held)

    def scheduler() -> ComponentStatus:
        found = kubernetes_plane.observe(ref=ref).components
        return next(one for one in found if one.name == "scheduler")

    control_plane.kubectl("taint", "node", gone, "spot.test/interrupted=true:NoExecute")
    eventually(lambda: "its node is going away" in scheduler().detail, seconds=30)
    assert scheduler().state in ("running", "starting")
    assert "It finishes its work as long as the node lasts" in scheduler().detail
    eventually(lambda: len(running(control_plane, ref)) == 2, seconds=30)
    assert gone not in running(control_plane, ref)
    assert sorted(zones[name] for name in running(control_plane, ref)) == ["a", "b"]

    free = json.dumps({"metadata": {"finalizers": None}})
    control_plane.kubectl("patch", pod, *home, "--type=merge", "-p", free)
    eventually(lambda: scheduler().detail == "", seconds=30)
    assert kubernetes_plane.observe(ref=ref).health == "healthy"
