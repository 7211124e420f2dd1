"""Jobs of projects on a real API server, which judges their objects and removes what they leave.

No container runs here, so no Job answers: what a pod without an answer gets is part of the test.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.config import ClusterConfig, Registry
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, JOB_LABEL, namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.projects import running, work
from apps.dataplane.kubernetes.projects.manifests import ProjectJob
from apps.dataplane.spec import PackagesSpec
from tests.dataplane.specs import make_code
from tests.dataplane.world import eventually
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import settle, small_spec

KINDS = "jobs,pods,configmaps,secrets,networkpolicies"
REGISTRY = Registry(repository="registry.test/data/airflow", user="me", password="canary-of-it")


def left(control_plane: ControlPlane, namespace: str) -> str:
    label = ("-l", JOB_LABEL, "-o", "name")
    return control_plane.kubectl("get", KINDS, "-n", namespace, *label).strip()


def test_jobs_are_accepted_under_restricted_pod_security_and_leave_nothing(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str, tmp_path: Path
) -> None:
    plane = KubernetesPlane(replace(cluster_config, registry=REGISTRY))
    spec, namespace = small_spec(ref), namespace_of(ref)
    with pytest.raises(Temporary, match="not on its cluster yet"):
        plane.lock_packages(spec=spec, requirements=("pandas",), preferred={})
    settle(plane, spec)
    lock = tmp_path / "lock.txt"
    lock.write_text("")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    whole = replace(spec, packages=PackagesSpec(digest=empty, lock_path=str(lock), image=IMAGE))
    coded = replace(spec, code=make_code(tmp_path, {"a.py": "x = 1\n"}))

    for act in (
        lambda: plane.lock_packages(spec=spec, requirements=("pandas",), preferred={}),
        lambda: plane.install_packages(spec=whole),
        lambda: plane.parse_project(spec=coded),
    ):
        with pytest.raises(Temporary, match="interrupted before it could answer"):
            act()

    eventually(lambda: not left(control_plane, namespace), seconds=60)
    events = json.loads(control_plane.kubectl("get", "events", "-n", namespace, "-o", "json"))
    assert not [one for one in events["items"] if "forbidden" in one.get("message", "")]


IMAGE = f"registry.test/data/airflow@sha256:{'1' * 64}"


def test_an_image_that_cannot_be_pulled_is_named(
    cluster_config: ClusterConfig, ref: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.dataplane.kubernetes.projects.running.LOOK_SECONDS", 2.0)
    plane = KubernetesPlane(replace(cluster_config, registry=REGISTRY))
    spec = small_spec(ref)
    settle(plane, spec)
    image = f"registry.test/cannot-be-pulled@sha256:{'1' * 64}"
    packages = PackagesSpec(digest="0" * 64, lock_path="", image=image)
    code = make_code(tmp_path, {"a.py": "x = 1\n"})

    with pytest.raises(Permanent, match="cannot-be-pulled.* cannot be pulled"):
        plane.parse_project(spec=replace(spec, packages=packages, code=code))


def test_without_an_image_nothing_is_applied(cluster_config: ClusterConfig, ref: str) -> None:
    packages = PackagesSpec(digest="0" * 64, lock_path="")

    with pytest.raises(Permanent, match="There is no image with the packages"):
        KubernetesPlane(cluster_config).apply(spec=small_spec(ref, packages=packages))


def test_a_pod_of_a_task_is_taken_for_no_pod_of_a_job(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    """A DAG that may start pods adds what labels it likes to that of a task."""
    plane, namespace = KubernetesPlane(cluster_config), namespace_of(ref)
    spec = small_spec(ref)
    settle(plane, spec)
    job = ProjectJob(
        name="project-lock-1",
        spec=spec,
        config=cluster_config,
        image=spec.runtime.image,
        program="lock_packages",
        task={},
        share=work.BUILDING,
        seconds=60,
    )

    def make(name: str, **labels: str) -> None:
        metadata = {"name": name, "namespace": namespace, "labels": job.labels | labels}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": job.pod()}
        control_plane.kubectl("create", "-f", "-", given=json.dumps(pod))

    make("a-lie", **{COMPONENT_LABEL: "task"})
    assert running._pod_of(plane.api, job) is None

    make("our-own")
    found = running._pod_of(plane.api, job)
    assert found is not None
    assert found["metadata"]["name"] == "our-own"
