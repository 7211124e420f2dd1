"""Jobs of backups on a real API server. No container runs here: a pod ends well without a word."""

import json
from dataclasses import replace

import pytest

from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.api.kinds import JOB
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import INVENTORY, JOB_LABEL, namespace_of, restore_job
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.spec import DumpTarget, RestoreSpec
from tests.dataplane.world import eventually
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import settle, small_spec

KINDS = "jobs,pods,configmaps,secrets,networkpolicies"
CANARY = "https://bucket.test/canary-of-an-address"


def wish(key: str) -> RestoreSpec:
    return RestoreSpec(
        key=key,
        dump_path="",
        sha256="0" * 64,
        airflow_version="3.3.2",
        url=CANARY,
        size_bytes=1,
    )


def left(control_plane: ControlPlane, namespace: str) -> str:
    label = ("-l", JOB_LABEL, "-o", "name")
    return control_plane.kubectl("get", KINDS, "-n", namespace, *label).strip()


def migration_of(control_plane: ControlPlane, namespace: str) -> str:
    found = json.loads(control_plane.kubectl("get", "jobs", "-n", namespace, "-o", "json"))
    return str(
        [
            one["metadata"]["uid"]
            for one in found["items"]
            if one["metadata"]["name"].startswith("migrate-")
        ]
    )


def test_a_backup_is_accepted_under_restricted_pod_security_and_leaves_nothing(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    plane, namespace = KubernetesPlane(cluster_config), namespace_of(ref)
    spec = small_spec(ref)
    settle(plane, spec)

    with pytest.raises(Temporary, match="interrupted before it could answer"):
        plane.back_up_to(spec=spec, target=DumpTarget(part_urls=(CANARY,), part_bytes=1))

    eventually(lambda: not left(control_plane, namespace), seconds=60)
    events = json.loads(control_plane.kubectl("get", "events", "-n", namespace, "-o", "json"))
    assert not [one for one in events["items"] if "forbidden" in one.get("message", "")]


def test_a_restore_stops_airflow_migrates_again_and_happens_once(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    plane, namespace = KubernetesPlane(cluster_config), namespace_of(ref)
    spec = small_spec(ref)
    settle(plane, spec)
    before = migration_of(control_plane, namespace)
    wanted = replace(spec, revision=spec.revision + 1, restore=wish("11111111-a"))

    first = plane.apply(spec=wanted)
    assert [one.key for one in first.steps] == ["restore"]
    assert "Airflow runs on meanwhile" in first.steps[0].detail
    job = ("get", "job", restore_job("11111111-a"), "-n", namespace, "-o", "json")
    assert CANARY not in control_plane.kubectl(*job)
    settle(plane, wanted)

    assert migration_of(control_plane, namespace) not in (before, "[]")
    inventory = control_plane.kubectl(
        "get", "configmap", INVENTORY, "-n", namespace, "-o", "jsonpath={.data.inventory\\.json}"
    )
    said = json.loads(inventory)
    assert (said["restoring"], said["restored"]) == ("", "11111111-a")
    eventually(lambda: not left(control_plane, namespace), seconds=60)
    settle(plane, wanted)
    assert not left(control_plane, namespace)


def test_a_restore_that_another_revision_replaces_does_not_go_on(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    plane, namespace = KubernetesPlane(cluster_config), namespace_of(ref)
    spec = small_spec(ref)
    settle(plane, spec)
    plane.apply(spec=replace(spec, revision=spec.revision + 1, restore=wish("22222222-b")))
    assert plane.api.find(JOB, restore_job("22222222-b"), namespace=namespace) is not None

    settle(plane, replace(spec, revision=spec.revision + 2))

    eventually(lambda: not left(control_plane, namespace), seconds=60)


def test_a_new_deployment_is_made_of_a_backup(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    plane, namespace = KubernetesPlane(cluster_config), namespace_of(ref)
    restore = replace(wish("33333333-c"), pauses_dags=True)
    spec = small_spec(ref, restore=replace(restore, waiting=""))
    waits = replace(spec, restore=replace(restore, url="", waiting="It is being put there."))
    eventually(lambda: [one.key for one in plane.apply(spec=waits).steps] == ["send"], seconds=60)
    assert plane.api.find(JOB, restore_job("33333333-c"), namespace=namespace) is None

    settle(plane, spec)

    assert migration_of(control_plane, namespace) != "[]"
    eventually(lambda: not left(control_plane, namespace), seconds=60)
