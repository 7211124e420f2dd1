"""What an Airflow fills into the pods that its tasks start in its own namespace."""

import importlib.util
import json
from types import SimpleNamespace
from typing import Any

import pytest

from apps.dataplane.kubernetes.render.pods.placement import pod_defaults
from apps.dataplane.kubernetes.render.pods.portal_files import RUNTIME_FOLDER
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.production import (
    NodeRequirement,
    ProductionSpec,
    Toleration,
    WorkloadIdentity,
)
from tests.dataplane.kubernetes_render.matrix import PULL_SECRET, make_config, make_spec

SETTINGS = ProductionSpec(
    pod_operator=True,
    pod_labels=(("team", "data"),),
    node_selector=(("pool", "tasks"),),
    node_affinity=(NodeRequirement(key="spot", operator="DoesNotExist"),),
    tolerations=(Toleration(key="spot"),),
    workload_identity=WorkloadIdentity(kind="azure", name="11111111-2222-3333-4444-555555555555"),
)


@pytest.fixture
def portal_pods() -> Any:
    path = RUNTIME_FOLDER / "plugins" / "portal_pods.py"
    spec = importlib.util.spec_from_file_location("portal_pods", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(image_pull_secret=PULL_SECRET)
    for name, value in pod_defaults(
        Target(spec=make_spec(settings=SETTINGS), config=config)
    ).items():
        monkeypatch.setenv(name, value)


def make_pod(*, in_cluster: str = "True", container: Any = None, **spec: Any) -> Any:
    """As Airflow's operator makes one: with objects of the client, or dicts of people's own."""
    fields = (
        "service_account_name",
        "automount_service_account_token",
        "node_selector",
        "affinity",
        "tolerations",
        "priority_class_name",
        "image_pull_secrets",
        "security_context",
        "init_containers",
    )
    containers = [SimpleNamespace(security_context=container)]
    empty = {**dict.fromkeys(fields), "containers": containers}
    labels = {"dag_id": "etl", "airflow_kpo_in_cluster": in_cluster}
    return SimpleNamespace(
        metadata=SimpleNamespace(labels=labels), spec=SimpleNamespace(**{**empty, **spec})
    )


def test_a_pod_gets_the_labels_and_nodes_of_its_deployment_and_is_closed(portal_pods: Any) -> None:
    pod = make_pod(init_containers=[SimpleNamespace(security_context=None)])

    portal_pods.complete(pod)

    labels = pod.metadata.labels
    assert labels["dag_id"] == "etl"
    assert labels["app.kubernetes.io/component"] == "task"
    assert labels["astro-portal.dev/deployment"] == "tidy-comet"
    assert (labels["team"], labels["azure.workload.identity/use"]) == ("data", "true")
    assert pod.spec.service_account_name == "tasks"
    assert pod.spec.automount_service_account_token is False
    assert pod.spec.node_selector == {"pool": "tasks"}
    assert pod.spec.tolerations == [{"key": "spot", "operator": "Exists"}]
    (wanted,) = pod.spec.affinity["nodeAffinity"].values()
    assert wanted["nodeSelectorTerms"][0]["matchExpressions"][0]["operator"] == "DoesNotExist"
    assert pod.spec.image_pull_secrets == [{"name": "registry"}]
    assert pod.spec.priority_class_name is None
    assert pod.spec.security_context == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    for container in [*pod.spec.containers, *pod.spec.init_containers]:
        assert container.security_context == closed


def test_what_a_dag_says_itself_stays(portal_pods: Any) -> None:
    context = SimpleNamespace(run_as_non_root=None, run_as_user=1001, seccomp_profile=None)
    pod = make_pod(
        service_account_name="user-bucket",
        automount_service_account_token=True,
        node_selector={"pool": "gpu"},
        security_context=context,
        container={"run_as_user": 7},
    )

    portal_pods.complete(pod)

    assert pod.spec.service_account_name == "user-bucket"
    assert pod.spec.affinity is None
    assert pod.spec.automount_service_account_token is True
    assert pod.spec.node_selector == {"pool": "gpu"}
    assert (context.run_as_user, context.run_as_non_root) == (1001, True)
    assert pod.spec.containers[0].security_context["runAsUser"] == 7


def test_a_pod_in_another_cluster_is_left_alone(portal_pods: Any) -> None:
    pod = make_pod(in_cluster="False")
    before = json.dumps(pod, default=vars)

    portal_pods.complete(pod)

    assert json.dumps(pod, default=vars) == before


def test_where_tasks_start_no_pods_nothing_is_filled_in(
    portal_pods: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORTAL_POD_DEFAULTS")
    pod = make_pod()

    portal_pods.complete(pod)

    assert pod.spec.service_account_name is None
