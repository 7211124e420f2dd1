"""A deletion goes in order and ends with nothing left."""

import json
import time
from dataclasses import replace

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.config import ClusterConfig, DatabaseServer
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL, namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.render.components.database_jobs import NAMESPACE as DATABASES
from tests.dataplane.specs import make_spec
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import remove, settle, small_spec

SERVER = DatabaseServer(host="db.test", port=5432, user="portal", password="canary-password")
PATIENCE_SECONDS = 120


@pytest.fixture
def plane_with_server(cluster_config: ClusterConfig) -> KubernetesPlane:
    return KubernetesPlane(replace(cluster_config, database=SERVER))


def kept_beside(control_plane: ControlPlane, ref: str) -> list[str]:
    kinds = "jobs,secrets,configmaps,networkpolicies"
    labels = f"{DEPLOYMENT_LABEL}={ref}"
    names = control_plane.kubectl("get", kinds, "-n", DATABASES, "-l", labels, "-o", "name")
    return names.split()


def test_scaling_stops_before_workers_do(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    settle(kubernetes_plane, make_spec(ref))
    where = ("-n", namespace_of(ref), "--type=merge", "-p")
    held = json.dumps({"metadata": {"finalizers": ["finalizer.keda.sh"]}})
    control_plane.kubectl("patch", "scaledobject", "worker-default", *where, held)

    kubernetes_plane.delete(ref=ref)
    progress = kubernetes_plane.delete(ref=ref)

    assert progress.steps[0].state == "running"
    assert "finalizer.keda.sh" in progress.steps[0].detail
    assert control_plane.exists("deployment", "worker-default", "-n", namespace_of(ref))

    free = json.dumps({"metadata": {"finalizers": None}})
    control_plane.kubectl("patch", "scaledobject", "worker-default", *where, free)
    remove(kubernetes_plane, ref)

    assert not control_plane.exists("namespace", namespace_of(ref))
    assert not kubernetes_plane.observe(ref=ref).exists
    assert kubernetes_plane.delete(ref=ref).is_done


def test_the_database_on_the_server_goes_too(
    control_plane: ControlPlane, plane_with_server: KubernetesPlane, ref: str
) -> None:
    settle(plane_with_server, small_spec(ref))
    (drop,) = [name for name in kept_beside(control_plane, ref) if "-drop-" in name]
    job = json.loads(control_plane.kubectl("get", drop, "-n", DATABASES, "-o=json"))

    assert job["spec"]["suspend"]
    assert plane_with_server.apply(spec=small_spec(ref)).is_done

    ran = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not plane_with_server.delete(ref=ref).is_done:
        assert time.monotonic() < deadline
        found = control_plane.kubectl("get", drop, "-n", DATABASES, "-o=json", may_fail=True)
        ran = ran or '"suspend": false' in found
        time.sleep(0.3)

    assert ran
    assert kept_beside(control_plane, ref) == []
    assert control_plane.exists("namespace", DATABASES)


def test_a_database_that_cannot_be_dropped_keeps_the_namespace_and_is_tried_anew(
    control_plane: ControlPlane, plane_with_server: KubernetesPlane, ref: str
) -> None:
    settle(plane_with_server, small_spec(ref))
    (drop,) = [name for name in kept_beside(control_plane, ref) if "-drop-" in name]
    where = ("-n", DATABASES)
    job = json.loads(control_plane.kubectl("get", drop, *where, "-o=json"))
    control_plane.kubectl("delete", drop, *where)
    control_plane.create(that_fails(job))

    error = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while error is None:
        assert time.monotonic() < deadline
        try:
            assert not plane_with_server.delete(ref=ref).is_done
        except Permanent as raised:
            error = raised
        time.sleep(0.3)

    again = json.loads(control_plane.kubectl("get", drop, *where, "-o=json"))
    assert "could not be dropped" in error.message
    assert again["spec"]["suspend"]
    assert control_plane.exists("namespace", namespace_of(ref))

    control_plane.kubectl("delete", drop, *where)
    remove(plane_with_server, ref)

    assert kept_beside(control_plane, ref) == []


def that_fails(job: dict) -> dict:
    metadata, template = job["metadata"], job["spec"]["template"]
    own = metadata["labels"]
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key in own}
    container = {**template["spec"]["containers"][0], "image": "registry.test/crashes:1"}
    pod = {**template["spec"], "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": metadata["name"], "namespace": DATABASES, "labels": own},
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def test_what_never_was_is_gone(kubernetes_plane: KubernetesPlane, ref: str) -> None:
    assert kubernetes_plane.delete(ref=ref).is_done
