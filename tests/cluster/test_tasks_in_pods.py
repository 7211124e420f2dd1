"""An Airflow whose tasks are pods (KubernetesExecutor), and what its network lets through."""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.production import ProductionSpec
from tests.cluster.node import Node
from tests.dataplane.contract import BROKEN, assert_a_broken_dag_is_told
from tests.dataplane.specs import make_code, make_spec
from tests.dataplane.world import World, eventually

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

DAG = """
import socket

from airflow.sdk import dag, task


@dag(schedule=None)
def pods():
    @task
    def where():
        print("I ran in", socket.gethostname())
        return socket.gethostname()

    @task
    def check(name):
        assert name != socket.gethostname()

    check(where())


pods()
"""
HOSTILE = """
from airflow.sdk import dag, task
from kubernetes.client import models as k8s


def describing(**spec):
    return {"pod_override": k8s.V1Pod(spec=k8s.V1PodSpec(**{"containers": [], **spec}))}


def with_all_keys():
    source = k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="airflow"))
    return describing(containers=[k8s.V1Container(name="base", env_from=[source])])


def disguised():
    labels = {"app.kubernetes.io/component": "api-server"}
    return {"pod_override": k8s.V1Pod(metadata=k8s.V1ObjectMeta(labels=labels))}


@dag(schedule=None)
def hostile():
    @task(executor_config=with_all_keys())
    def reads_keys():
        pass

    @task(
        executor_config=describing(
            service_account_name="scheduler", automount_service_account_token=True
        )
    )
    def is_the_scheduler():
        pass

    @task(executor_config=disguised())
    def is_the_api_server():
        pass

    @task(
        executor_config={
            "pod_override": k8s.V1Pod(metadata=k8s.V1ObjectMeta(labels={"team": "blue"}))
        }
    )
    def is_friendly():
        pass

    reads_keys()
    is_the_scheduler()
    is_the_api_server()
    is_friendly()


hostile()
"""
OPERATORS = """
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from kubernetes.client import models as k8s

ALL_KEYS = k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="airflow"))

with DAG("operators", schedule=None):
    plain = {"image": "apache/airflow:3.3.2", "cmds": ["bash", "-c", "echo I am $(id -u)"]}
    KubernetesPodOperator(task_id="starts_a_pod", name="mine", **plain)
    KubernetesPodOperator(task_id="takes_keys", name="keys", env_from=[ALL_KEYS], **plain)
"""
STRANGER = """
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: default}
spec:
  containers:
    - name: stranger
      image: apache/airflow:3.3.2
      args: [bash, -c, sleep infinity]
"""
CONNECTS = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4).close()
except OSError:
    print("closed")
else:
    print("open")
"""


@pytest.fixture(scope="module")
def config(node: Node) -> ClusterConfig:
    return ClusterConfig(
        connection=node.connection,
        portal_id="tests",
        airflow_url="http://localhost:8081",
        has_keda=True,
        scale_down_seconds=30,
    )


@pytest.fixture(scope="module")
def world(config: ClusterConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(KubernetesPlane(config))
    code = make_code(
        tmp_path_factory.mktemp("code"),
        {"pods.py": DAG, "hostile.py": HOSTILE, "operators.py": OPERATORS, **BROKEN},
    )
    settings = ProductionSpec(pod_operator=True)
    spec = make_spec("still-comet", executor="kubernetes", queues=(), code=code, settings=settings)
    world.create(spec)
    yield world
    world.delete()


def test_every_task_is_a_pod_whose_log_outlives_it(world: World, node: Node) -> None:
    run = world.succeeded("pods", world.trigger("pods"), seconds=240)

    assert {task["try_number"] for task in run["tasks"]} == {1}
    eventually(lambda: not _task_pods(node), seconds=60)
    path = f"/api/v2/dags/pods/dagRuns/{run['dag_run_id']}/taskInstances/where/logs/1"
    assert "I ran in" in str(world.airflow("GET", path)["content"])


def test_a_dag_gets_neither_keys_nor_accounts_of_airflow_into_its_pods(world: World) -> None:
    run = world.finished_run("hostile", world.trigger("hostile"), seconds=300)

    states = {task["task_id"]: task["state"] for task in run["tasks"]}
    assert states == {
        "reads_keys": "failed",
        "is_the_scheduler": "failed",
        "is_the_api_server": "failed",
        "is_friendly": "success",
    }
    log = world.plane.logs(ref="still-comet", component="scheduler", contains="A task pod")
    assert log.lines


def test_a_task_starts_a_pod_and_reads_its_log_but_gives_it_no_keys(world: World) -> None:
    run = world.finished_run("operators", world.trigger("operators"), seconds=300)

    states = {task["task_id"]: task["state"] for task in run["tasks"]}
    assert states == {"starts_a_pod": "success", "takes_keys": "failed"}
    path = f"/api/v2/dags/operators/dagRuns/{run['dag_run_id']}/taskInstances"
    assert "I am 50000" in str(world.airflow("GET", f"{path}/starts_a_pod/logs/1")["content"])
    assert "A task pod has no variables" in str(
        world.airflow("GET", f"{path}/takes_keys/logs/1")["content"]
    )


def test_a_dag_that_cannot_be_imported_is_told(world: World) -> None:
    assert world.spec
    assert isinstance(world.plane, KubernetesPlane)
    assert_a_broken_dag_is_told(world.plane, world.spec)
    assert world.plane.live_metrics(spec=world.spec).import_errors == 1


def _task_pods(node: Node) -> list[dict[str, Any]]:
    pods = node.objects("pods", namespace_of("still-comet"))
    return [
        pod
        for pod in pods
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "task"
    ]


def test_a_pod_of_others_reaches_no_database(world: World, node: Node) -> None:
    node.kubectl("apply", "-f", "-", given=STRANGER)
    node.kubectl("wait", "--for=condition=Ready", "pod/stranger", "--timeout=100s")
    namespace = namespace_of("still-comet")

    def sees(host: str, port: int) -> str:
        command = ("exec", "stranger", "--", "python3", "-c", CONNECTS, host, str(port))
        return node.kubectl(*command).strip()

    assert sees(f"api-server.{namespace}.svc.cluster.local", 8080) == "open"
    assert sees(f"postgres.{namespace}.svc.cluster.local", 5432) == "closed"
    node.kubectl("delete", "pod", "stranger", "--now")


def test_a_database_answers_and_asks_nobody(world: World, node: Node) -> None:
    namespace = ("-n", namespace_of("still-comet"))

    def sees(pod: str, host: str, port: int) -> str:
        command = ("exec", pod, "--", "python3", "-c", CONNECTS, host, str(port))
        return node.kubectl(*namespace, *command).strip()

    assert sees("deployment/scheduler", "postgres", 5432) == "open"
    assert sees("deployment/scheduler", "api-server", 8080) == "open"
    assert sees("postgres-0", "api-server", 8080) == "closed"
