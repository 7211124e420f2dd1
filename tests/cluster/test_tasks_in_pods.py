"""An Airflow whose tasks are pods (KubernetesExecutor), and what its network lets through."""

from typing import Any

import pytest

from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.cluster.node import Node
from tests.dataplane.contract import assert_a_broken_dag_is_told
from tests.dataplane.world import World, eventually

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

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
